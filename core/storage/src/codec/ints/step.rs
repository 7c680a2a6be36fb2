//! The step that all integers of a column have in common: whole milliseconds in nanoseconds, quarters in hundredths.

use super::super::input::put_signed;

/// A column's numbers are `base + step * n`.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    pub(super) base: i64,
    pub(super) step: u64,
}

impl Unit {
    /// The n of all numbers; the numbers themselves if the step is 1.
    pub(super) fn divide<'a>(self, numbers: &'a [i64], out: &'a mut Vec<i64>) -> &'a [i64] {
        if self.step == 1 {
            return numbers;
        }
        let exact = Exact::new(self.step);
        out.clear();
        out.extend(numbers.iter().map(|number| exact.quotient(number.wrapping_sub(self.base))));
        out
    }

    /// What members of the stream of `order` are: differences have no base.
    pub(super) fn of(self, order: usize) -> Self {
        Self { base: if order == 0 && self.step != 1 { self.base } else { 0 }, step: self.step }
    }

    pub(super) fn resolve(self, number: i64) -> i64 {
        self.base.wrapping_add(number.wrapping_mul(self.step as i64))
    }

    /// The head byte, without packing, and the numbers that the order sets apart.
    pub(super) fn put_head(self, streams: [&[i64]; 3], order: usize, out: &mut Vec<u8>) {
        out.push(order as u8);
        for (order, stream) in streams[..order].iter().enumerate() {
            put_signed(self.of(order).resolve(stream[0]), out);
        }
    }
}

/// Division by a number that is known to divide: a shift and a multiplication by the inverse modulo 2^64.
#[derive(Clone, Copy)]
struct Exact {
    shift: u32,
    inverse: u64,
    max: u64,
}

impl Exact {
    fn new(divisor: u64) -> Self {
        let shift = divisor.trailing_zeros();
        let odd = divisor >> shift;
        // Newton: every round doubles the bits that are right, three at first.
        let mut inverse = odd;
        for _ in 0..5 {
            inverse = inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)));
        }
        Self { shift, inverse, max: u64::MAX / divisor }
    }

    fn quotient(self, number: i64) -> i64 {
        (number >> self.shift).wrapping_mul(self.inverse as i64)
    }

    fn divides(self, number: u64) -> bool {
        number.wrapping_mul(self.inverse).rotate_right(self.shift) <= self.max
    }
}

/// The greatest common divisor of the distances of all numbers to the first; 1 if there is none.
pub(super) fn common_step(numbers: &[i64]) -> u64 {
    let base = numbers[0];
    let mut step = 0;
    let mut exact = Exact::new(1);
    for number in numbers {
        let Some(distance) = number.checked_sub(base) else { return 1 };
        let distance = distance.unsigned_abs();
        if distance == 0 || (step != 0 && exact.divides(distance)) {
            continue;
        }
        step = common_divisor(step, distance);
        if step == 1 {
            return 1;
        }
        exact = Exact::new(step);
    }
    step.max(1)
}

fn common_divisor(mut one: u64, mut other: u64) -> u64 {
    while one != 0 {
        (one, other) = (other % one, one);
    }
    other
}

/// Divides all numbers by their greatest common divisor, which it answers.
pub(super) fn divide_by_step(numbers: &mut [u64]) -> u64 {
    let mut step = 0;
    for number in numbers.iter().filter(|number| **number != 0) {
        step = common_divisor(step, *number);
        if step == 1 {
            return 1;
        }
    }
    if step > 1 {
        numbers.iter_mut().for_each(|number| *number /= step);
    }
    step.max(1)
}
