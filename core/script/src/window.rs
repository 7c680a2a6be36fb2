//! The window as scripts see it: every method of [`Window`], with `()` where there is no value and seconds where
//! there is time.

use rhai::{Dynamic, Engine};
use sereno_query::Window;

use crate::convert::{Outcome, duration_argument, from_option, number_argument};
use crate::meter;

/// A measure that rows may answer: charged for what it decodes.
pub(crate) fn measure<T>(window: &Window, measure: impl FnOnce(&Window) -> T) -> Outcome<T> {
    let before = window.decoded();
    let answer = measure(window);
    settle(window, window.decoded().saturating_sub(before), answer)
}

/// A measure that looks at every sample: charged for them each time.
fn scan<T>(window: &Window, measure: impl FnOnce(&Window) -> T) -> Outcome<T> {
    let before = window.decoded();
    let answer = measure(window);
    settle(window, window.decoded().saturating_sub(before).max(window.count() as u64), answer)
}

fn settle<T>(window: &Window, samples: u64, answer: T) -> Outcome<T> {
    meter::charge(samples)?;
    meter::check_reads(window.tally())?;
    Ok(answer)
}

pub(crate) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Window>("Window");
    engine.register_iterator::<Window>();
    register_counts(engine);
    register_values(engine);
    engine.register_fn("between", |window: &mut Window, low: Dynamic, high: Dynamic| -> Outcome<Window> {
        let (low, high) = (number_argument("between", &low)?, number_argument("between", &high)?);
        scan(window, |window| window.between(low, high))
    });
    engine.register_fn("quantile", |window: &mut Window, q: Dynamic| -> Outcome<Dynamic> {
        let q = number_argument("quantile", &q)?;
        if !(0.0..=1.0).contains(&q) {
            return Err(format!("`quantile({q})`: give a share from 0 to 1, such as 0.95").into());
        }
        scan(window, |window| from_option(window.quantile(q)))
    });
    engine.register_fn("forecast", |window: &mut Window, ahead: Dynamic| -> Outcome<Dynamic> {
        let ahead = duration_argument("forecast", &ahead)?;
        scan(window, |window| from_option(window.forecast(ahead)))
    });
    engine.register_fn("ewma", |window: &mut Window, half_life: Dynamic| -> Outcome<Dynamic> {
        let half_life = duration_argument("ewma", &half_life)?;
        if half_life.is_zero() {
            return Err("`ewma`: in no time weights cannot halve; give a duration such as \"5m\"".into());
        }
        scan(window, |window| from_option(window.ewma(half_life)))
    });
    engine.register_fn("age", |window: &mut Window| measure(window, |window| window.age().as_secs_f64()));
    let describe = |window: &mut Window| format!("a window of {} samples", window.count());
    engine.register_fn("to_string", describe);
    engine.register_fn("to_debug", describe);
}

fn register_counts(engine: &mut Engine) {
    engine.register_fn("count", |window: &mut Window| measure(window, |window| window.count() as f64));
    engine.register_fn("is_empty", |window: &mut Window| measure(window, Window::is_empty));
    engine.register_fn("seconds", |window: &mut Window| {
        let range = window.range();
        range.end.since(range.start).as_secs_f64()
    });
    engine.register_fn("count_above", |window: &mut Window, limit: Dynamic| -> Outcome<f64> {
        let limit = number_argument("count_above", &limit)?;
        scan(window, |window| window.count_above(limit) as f64)
    });
    engine.register_fn("count_below", |window: &mut Window, limit: Dynamic| -> Outcome<f64> {
        let limit = number_argument("count_below", &limit)?;
        scan(window, |window| window.count_below(limit) as f64)
    });
}

fn register_values(engine: &mut Engine) {
    let mut register = |name: &str, method: fn(&Window) -> Option<f64>| {
        engine.register_fn(name, move |window: &mut Window| {
            measure(window, |window| from_option(method(window)))
        });
    };
    register("sum", Window::sum);
    register("mean", Window::mean);
    register("min", Window::min);
    register("max", Window::max);
    register("first", Window::first);
    register("last", Window::last);
    register("last_time", |window| window.last_time().map(|time| time.secs_f64()));
    register("delta", Window::delta);
    register("increase", Window::increase);
    register("rate", Window::rate);
    register("resets", Window::resets);
    let mut register = |name: &str, method: fn(&Window) -> Option<f64>| {
        engine
            .register_fn(name, move |window: &mut Window| scan(window, |window| from_option(method(window))));
    };
    register("changes", Window::changes);
    register("stddev", Window::stddev);
    register("median", Window::median);
    register("mad", Window::mad);
    register("slope", Window::slope);
}
