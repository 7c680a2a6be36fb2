//! Comparison and division as a rule author expects them; Rhai's own turn mistakes into "all is well".
//!
//! | in Rhai | here |
//! |---|---|
//! | infinity compares false with everything, `x > y` needs a relative distance of 2e-16 | IEEE 754 |
//! | NaN compares false | ordering NaN is an error; `==` is false |
//! | `() > 5`, a window `> 5`, `"7" > 5` are false | errors |
//! | `==` between a text and a number is false | an error; `x == ()` asks whether there is a value |
//! | `1 / 2` is 0 | 0.5 |
//!
//! The exact numeric pairs are registered for speed; every other pair comes to the catch-all of two [`Dynamic`]s.

use std::cmp::Ordering;

use rhai::{Dynamic, Engine, ImmutableString};

use crate::convert::{Outcome, number, type_name};

pub(crate) fn register(engine: &mut Engine) {
    register_ordering(engine, "<", Ordering::is_lt);
    register_ordering(engine, "<=", Ordering::is_le);
    register_ordering(engine, ">", Ordering::is_gt);
    register_ordering(engine, ">=", Ordering::is_ge);
    engine.register_fn("==", |a: f64, b: f64| a == b);
    engine.register_fn("==", |a: f64, b: i64| a == b as f64);
    engine.register_fn("==", |a: i64, b: f64| a as f64 == b);
    engine.register_fn("==", |a: i64, b: i64| a == b);
    engine.register_fn("==", |a: Dynamic, b: Dynamic| equal("==", &a, &b));
    engine.register_fn("!=", |a: f64, b: f64| a != b);
    engine.register_fn("!=", |a: f64, b: i64| a != b as f64);
    engine.register_fn("!=", |a: i64, b: f64| a as f64 != b);
    engine.register_fn("!=", |a: i64, b: i64| a != b);
    engine.register_fn("!=", |a: Dynamic, b: Dynamic| equal("!=", &a, &b).map(|equal| !equal));
    engine.register_fn("/", |a: i64, b: i64| a as f64 / b as f64);
    engine.register_fn("/=", divide_in_place);
}

fn register_ordering(engine: &mut Engine, operator: &'static str, holds: fn(Ordering) -> bool) {
    let floats = move |a: f64, b: f64| match a.partial_cmp(&b) {
        Some(ordering) => Ok(holds(ordering)),
        None => Err(format!("`{operator}` with NaN has no answer; ask `x.is_nan()` first").into()),
    };
    engine.register_fn(operator, move |a: i64, b: i64| holds(a.cmp(&b)));
    engine.register_fn(operator, move |a: f64, b: f64| -> Outcome<bool> { floats(a, b) });
    engine.register_fn(operator, move |a: f64, b: i64| -> Outcome<bool> { floats(a, b as f64) });
    engine.register_fn(operator, move |a: i64, b: f64| -> Outcome<bool> { floats(a as f64, b) });
    engine.register_fn(operator, move |a: Dynamic, b: Dynamic| -> Outcome<bool> {
        match order(&a, &b) {
            Some(ordering) => Ok(holds(ordering)),
            None => Err(cannot_compare(operator, &a, &b).into()),
        }
    });
}

/// The order of two texts; nothing else comes here that has one.
fn order(a: &Dynamic, b: &Dynamic) -> Option<Ordering> {
    let text = |value: &Dynamic| value.clone().into_immutable_string().ok();
    match (a.as_char(), b.as_char()) {
        (Ok(a), Ok(b)) => Some(a.cmp(&b)),
        _ => Some(text(a)?.cmp(&text(b)?)),
    }
}

fn equal(operator: &str, a: &Dynamic, b: &Dynamic) -> Outcome<bool> {
    if a.is_unit() || b.is_unit() {
        return Ok(a.is_unit() && b.is_unit());
    }
    if let (Some(a), Some(b)) = (number(a), number(b)) {
        return Ok(a == b);
    }
    if let (Ok(a), Ok(b)) = (a.as_bool(), b.as_bool()) {
        return Ok(a == b);
    }
    let text = |value: &Dynamic| match value.as_char() {
        Ok(c) => Some(ImmutableString::from(c.to_string())),
        Err(_) => value.clone().into_immutable_string().ok(),
    };
    match (text(a), text(b)) {
        (Some(a), Some(b)) => Ok(a == b),
        _ => Err(cannot_compare(operator, a, b).into()),
    }
}

fn cannot_compare(operator: &str, a: &Dynamic, b: &Dynamic) -> String {
    let (left, right) = (type_name(a), type_name(b));
    let missing = [a, b].iter().any(|value| value.is_unit());
    let window = [left, right].contains(&"a window");
    let advice = match () {
        () if missing => "; `()` means that there is no value: ask `x == ()` first",
        () if window => "; take a number from the window first, such as `.mean()`",
        () => "",
    };
    format!("`{operator}` cannot compare {left} with {right}{advice}")
}

/// The result of a division is a float, and a variable that holds an integer keeps its type here.
fn divide_in_place(a: &mut i64, b: i64) -> Outcome<()> {
    match a.checked_rem(b) {
        Some(0) => {
            *a /= b;
            Ok(())
        }
        _ => Err(format!("`{a} /= {b}` is no whole number; write `x = x / y`").into()),
    }
}
