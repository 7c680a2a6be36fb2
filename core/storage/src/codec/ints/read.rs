//! From bytes back to integers, in chunks that stay in the first cache.

use super::super::Malformed;
use super::super::entropy;
use super::super::input::Input;
use super::super::radix::{CHUNK, Layout, Unpacker};
use super::{CONSTANT, ENTROPY, PATCHED, STEP};

/// What stands before the packed numbers of a column.
struct Head {
    order: usize,
    packing: u8,
    origin: i64,
    slope: i64,
    low: i64,
    step: u64,
}

impl Head {
    fn read(input: &mut Input<'_>, count: usize) -> Result<Self, Malformed> {
        let head = input.byte()?;
        let order = usize::from(head & 3);
        let packing = (head >> 2) & 3;
        if head >> 5 != 0 || order == 3 || order > count || (packing == CONSTANT && head & STEP != 0) {
            return Err(Malformed);
        }
        let origin = if order > 0 { input.signed()? } else { 0 };
        let slope = if order > 1 { input.signed()? } else { 0 };
        let low = input.signed()?;
        let step = if head & STEP != 0 { input.varint()? } else { 1 };
        Ok(Self { order, packing, origin, slope, low, step })
    }
}

/// Gives the `count` numbers of a column to `sink`, in chunks. `memory` is used for pco alone.
pub(in super::super) fn decode(
    bytes: &[u8],
    count: usize,
    memory: &mut Vec<u64>,
    sink: &mut dyn FnMut(&[i64]),
) -> Result<(), Malformed> {
    if count == 0 {
        return Input(bytes).end();
    }
    let mut input = Input(bytes);
    let head = Head::read(&mut input, count)?;
    let mut sums = Sums::new(&head);
    match head.order {
        1 => sink(&[head.origin]),
        2 => sink(&[head.origin, head.origin.wrapping_add(head.slope)]),
        _ => {}
    }
    let count = count - head.order;
    match head.packing {
        CONSTANT => {
            input.end()?;
            unpack_constant(count, &mut sums, sink);
            Ok(())
        }
        ENTROPY => {
            entropy::decode(input.0, count, memory)?;
            memory.chunks(CHUNK).for_each(|chunk| sums.resolve(chunk, sink));
            Ok(())
        }
        packing => unpack(input, count, packing == PATCHED, &mut sums, sink),
    }
}

fn unpack_constant(count: usize, sums: &mut Sums, sink: &mut dyn FnMut(&[i64])) {
    let zeros = [0; CHUNK];
    let mut left = count;
    while left > 0 {
        let count = left.min(CHUNK);
        sums.resolve(&zeros[..count], sink);
        left -= count;
    }
}

fn unpack(
    mut input: Input<'_>,
    count: usize,
    patched: bool,
    sums: &mut Sums,
    sink: &mut dyn FnMut(&[i64]),
) -> Result<(), Malformed> {
    let mut patches = Patches::read(&mut input, count, patched)?;
    let max = input.varint()?;
    if max == 0 && !patched {
        return Err(Malformed);
    }
    let mut chunk = [0; CHUNK];
    let mut position = 0;
    if max == 0 {
        input.end()?;
        while position < count {
            let taken = (count - position).min(CHUNK);
            chunk[..taken].fill(0);
            patches.apply(position, &mut chunk[..taken], sums);
            sums.resolve_patched(&chunk[..taken], sink);
            position += taken;
        }
        return Ok(());
    }
    let layout = Layout::new(max, usize::from(input.byte()?)).ok_or(Malformed)?;
    let mut numbers = Unpacker::new(input.0, count, layout)?;
    loop {
        let taken = numbers.next(&mut chunk);
        if taken == 0 {
            return Ok(());
        }
        if patched {
            patches.apply(position, &mut chunk[..taken], sums);
            sums.resolve_patched(&chunk[..taken], sink);
        } else {
            sums.resolve(&chunk[..taken], sink);
        }
        position += taken;
    }
}

/// The patches of a column that are still to come.
struct Patches<'a> {
    input: Input<'a>,
    left: usize,
    /// Where the next one belongs.
    index: usize,
}

impl<'a> Patches<'a> {
    /// Checks all of them and leaves `input` behind them.
    fn read(input: &mut Input<'a>, count: usize, patched: bool) -> Result<Self, Malformed> {
        let left = if patched { input.count(count)? } else { 0 };
        let start = *input;
        let mut next = 0_usize;
        for _ in 0..left {
            // Below `count` before and after, so the sum is small.
            let index = next + input.count(count)?;
            input.signed()?;
            if index >= count {
                return Err(Malformed);
            }
            next = index + 1;
        }
        let mut patches = Self { input: start, left, index: 0 };
        patches.advance(0);
        Ok(patches)
    }

    fn advance(&mut self, from: usize) {
        self.index = match self.input.varint() {
            Ok(gap) if self.left > 0 => from + gap as usize,
            _ => usize::MAX,
        };
    }

    /// Turns numbers into members of the stream, but for the lowest, and puts the patches among them.
    fn apply(&mut self, position: usize, chunk: &mut [u64], sums: &Sums) {
        if sums.step != 1 {
            chunk.iter_mut().for_each(|number| *number = number.wrapping_mul(sums.step));
        }
        while let Some(place) = self.index.checked_sub(position).and_then(|index| chunk.get_mut(index)) {
            *place = self.input.signed().unwrap_or_default() as u64;
            self.left -= 1;
            self.advance(self.index + 1);
        }
    }
}

/// From the packed numbers back to the column: frame, then sums.
struct Sums {
    order: usize,
    low: i64,
    step: u64,
    sum: i64,
    slope: i64,
    numbers: [i64; CHUNK],
}

impl Sums {
    fn new(head: &Head) -> Self {
        let sum = if head.order == 2 { head.origin.wrapping_add(head.slope) } else { head.origin };
        Self {
            order: head.order,
            low: head.low,
            step: head.step,
            sum,
            slope: head.slope,
            numbers: [0; CHUNK],
        }
    }

    #[inline]
    fn resolve(&mut self, chunk: &[u64], sink: &mut dyn FnMut(&[i64])) {
        if self.step == 1 {
            self.resolve_patched(chunk, sink);
        } else {
            let step = self.step;
            self.sum_up(chunk, |number| number.wrapping_mul(step), sink);
        }
    }

    /// The step is in the numbers already.
    #[inline]
    fn resolve_patched(&mut self, chunk: &[u64], sink: &mut dyn FnMut(&[i64])) {
        self.sum_up(chunk, |number| number, sink);
    }

    #[inline]
    fn sum_up(&mut self, chunk: &[u64], scale: impl Fn(u64) -> u64, sink: &mut dyn FnMut(&[i64])) {
        let numbers = &mut self.numbers[..chunk.len()];
        let low = self.low;
        let member = |packed: u64| low.wrapping_add(scale(packed) as i64);
        match self.order {
            0 => {
                for (number, packed) in numbers.iter_mut().zip(chunk) {
                    *number = member(*packed);
                }
            }
            1 => self.sum = sum_of_members(chunk, member, self.sum, numbers),
            _ => {
                let (mut sum, mut slope) = (self.sum, self.slope);
                for (number, packed) in numbers.iter_mut().zip(chunk) {
                    slope = slope.wrapping_add(member(*packed));
                    sum = sum.wrapping_add(slope);
                    *number = sum;
                }
                (self.sum, self.slope) = (sum, slope);
            }
        }
        sink(numbers);
    }
}

/// Running sums, by fours: so each sum waits for one addition in four, not for every one.
#[inline]
fn sum_of_members(chunk: &[u64], member: impl Fn(u64) -> i64, mut sum: i64, numbers: &mut [i64]) -> i64 {
    let (fours, rest) = chunk.as_chunks::<4>();
    let (sums, sums_rest) = numbers.as_chunks_mut::<4>();
    for (four, sums) in fours.iter().zip(sums) {
        let [one, two, three, four] = four.map(&member);
        let two = one.wrapping_add(two);
        let three = two.wrapping_add(three);
        let four = three.wrapping_add(four);
        *sums = [one, two, three, four].map(|part| sum.wrapping_add(part));
        sum = sum.wrapping_add(four);
    }
    for (packed, number) in rest.iter().zip(sums_rest) {
        sum = sum.wrapping_add(member(*packed));
        *number = sum;
    }
    sum
}
