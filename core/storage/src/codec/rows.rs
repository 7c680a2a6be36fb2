//! Columns of rows: what the hours or minutes of one series on one day add up to, bit for bit.
//!
//! Where all first, last, lowest and highest values are decimals, rows are whole numbers: each sum is one too, plus
//! the few units in the last place by which adding floats went astray. Else they are the places of the floats in
//! their order. Each field is a column, written down relative to what the fields before it suggest.

use super::bits::BitWriter;
use super::input::{Input, put_signed, put_varint, varint_len};
use super::radix::{self, CHUNK, Layout, Unpacker};
use super::values::{DECIMALS_MAX, POWERS, decimals_of, float_at, place_of, scaled};
use super::{Malformed, Scratch};

/// One hour or minute of a series. Finite values only: the caller leaves rows out where a sample is NaN or infinite or
/// a sum is not finite. (Others come back the same too, but take more room.)
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    /// Which hour (0..24) or minute (0..1440) of the day.
    pub(crate) slot: u32,
    /// Samples, at least 1.
    pub(crate) count: u32,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) first: f64,
    pub(crate) last: f64,
    /// Samples smaller than the one before them in the row.
    pub(crate) falls: u32,
    /// Sum of the samples before those, 0.0 if there are none.
    pub(crate) dropped: f64,
}

/// Bits of the head byte; its high four bits are k of the decimals.
const WITH_FALLS: u8 = 1;
const DECIMALS: u8 = 2;
/// Fields are relative to their neighbours, else each is on its own.
const CHAINED: u8 = 4;

/// Columns in their order; bit i of the mask says that column i is there and not all zero.
const FIELDS: usize = 11;
const GAPS: usize = 0;
const COUNT: usize = 1;
const FIRST: usize = 2;
const LAST: usize = 3;
const MIN: usize = 4;
const MAX: usize = 5;
const SUM: usize = 6;
const SUM_ULPS: usize = 7;
const FALLS: usize = 8;
const DROPPED: usize = 9;
const DROPPED_ULPS: usize = 10;

/// A column's shape: 0 constant, 1 to 64 the bits of a number, more: 64 + digits to a radix word.
const RADIX: u8 = 64;

/// Sums of decimals are kept as integers up to here; beyond, the block is kept as floats.
const SUM_LIMIT: f64 = 4.0e18;

/// Appends a column of `rows`, whose slots strictly rise; `with_falls`: keep `falls` and `dropped`.
pub(crate) fn encode(rows: &[Row], with_falls: bool, out: &mut Vec<u8>, scratch: &mut Scratch) {
    put_varint(rows.len() as u64, out);
    let Some(first) = rows.first() else { return out.push(if with_falls { WITH_FALLS } else { 0 }) };
    let numbers = Form::of(rows, with_falls);
    let flags = if with_falls { WITH_FALLS } else { 0 };
    let start = out.len();
    put_form(rows, first.slot, flags | CHAINED, numbers, out, scratch);
    let middle = out.len();
    put_form(rows, first.slot, flags, numbers, out, scratch);
    if out.len() - middle < middle - start {
        out.drain(start..middle);
    } else {
        out.truncate(middle);
    }
}

/// Replaces what is in `out` by the rows of a column, of which a day has `slots` (24 or 1440); answers whether falls
/// were kept, else they are 0.
///
/// # Errors
/// [`Malformed`] if `bytes` are no such column; then `out` holds anything.
pub(crate) fn decode(bytes: &[u8], slots: u32, out: &mut Vec<Row>) -> Result<bool, Malformed> {
    out.clear();
    let mut input = Input(bytes);
    let count = input.count(slots as usize)?;
    let head = input.byte()?;
    let with_falls = head & WITH_FALLS != 0;
    if count == 0 {
        return if head <= WITH_FALLS { input.end().map(|()| with_falls) } else { Err(Malformed) };
    }
    let form = Form::read(head)?;
    let mask = input.varint()?;
    let fields = if with_falls { FIELDS } else { FALLS };
    if mask >> fields != 0 || (form == Form::Floats && mask & (1 << SUM_ULPS | 1 << DROPPED_ULPS) != 0) {
        return Err(Malformed);
    }
    let first_slot = input.count(slots as usize)? as u32;
    let first = input.signed()?;
    out.resize(count, EMPTY);
    let mut restorer = Restorer { form, chained: head & CHAINED != 0, slot: first_slot, before: first };
    for field in 0..fields {
        let mut column = if mask >> field & 1 != 0 { Column::read(&mut input, count)? } else { Column::ZERO };
        restorer.field(field, &mut column, out)?;
    }
    input.end()?;
    if out.iter().any(|row| row.slot >= slots) {
        return Err(Malformed);
    }
    restorer.finish(with_falls, out);
    Ok(with_falls)
}

const EMPTY: Row =
    Row { slot: 0, count: 0, sum: 0.0, min: 0.0, max: 0.0, first: 0.0, last: 0.0, falls: 0, dropped: 0.0 };

/// How values are integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Decimals(usize),
    Floats,
}

impl Form {
    fn of(rows: &[Row], with_falls: bool) -> Self {
        let mut decimals = 0;
        for row in rows {
            for value in [row.first, row.last, row.min, row.max] {
                let Some(needed) = decimals_of(value, decimals) else { return Self::Floats };
                decimals = needed;
            }
        }
        let fits = |row: &Row| {
            let sums = [row.sum, if with_falls { row.dropped } else { 0.0 }];
            let values = [row.first, row.last, row.min, row.max];
            values.into_iter().all(|value| scaled(value, decimals).is_some())
                && sums.into_iter().all(|sum| (sum * POWERS[decimals]).abs() < SUM_LIMIT)
        };
        if rows.iter().all(fits) { Self::Decimals(decimals) } else { Self::Floats }
    }

    fn read(head: u8) -> Result<Self, Malformed> {
        let decimals = usize::from(head >> 4);
        match (head & DECIMALS != 0, head & 8 != 0) {
            (true, false) if decimals <= DECIMALS_MAX => Ok(Self::Decimals(decimals)),
            (false, false) if decimals == 0 => Ok(Self::Floats),
            _ => Err(Malformed),
        }
    }

    fn head(self) -> u8 {
        match self {
            Self::Decimals(decimals) => DECIMALS | (decimals as u8) << 4,
            Self::Floats => 0,
        }
    }

    fn number(self, value: f64) -> i64 {
        match self {
            Self::Decimals(decimals) => scaled(value, decimals).unwrap_or_default(),
            Self::Floats => place_of(value),
        }
    }

    /// A sum as the nearest integer, which need not be exact.
    fn sum(self, sum: f64) -> i64 {
        match self {
            Self::Decimals(decimals) => (sum * POWERS[decimals]).round() as i64,
            Self::Floats => place_of(sum),
        }
    }

    /// The inverse of [`Self::number`], and of [`Self::sum`] but for some units in the last place.
    fn value(self, number: i64) -> f64 {
        match self {
            Self::Decimals(decimals) => number as f64 / POWERS[decimals],
            Self::Floats => float_at(number),
        }
    }

    /// What `count` samples add up to, going by numbers around them.
    fn expected(self, count: u32, around: [i64; 4]) -> i64 {
        match self {
            Self::Decimals(_) => {
                let total: i128 = around.into_iter().map(i128::from).sum();
                (total * i128::from(count) / 4) as i64
            }
            Self::Floats => {
                let total: f64 = around.into_iter().map(float_at).sum();
                // The bits of a computed NaN may differ from one processor to the next.
                if total.is_finite() { place_of(total * f64::from(count) / 4.0) } else { 0 }
            }
        }
    }
}

/// The integers of a row.
#[derive(Clone, Copy)]
struct Numbers {
    first: i64,
    last: i64,
    min: i64,
    max: i64,
}

impl Numbers {
    fn of(row: &Row, form: Form) -> Self {
        let number = |value| form.number(value);
        Self { first: number(row.first), last: number(row.last), min: number(row.min), max: number(row.max) }
    }

    fn around(self) -> [i64; 4] {
        [self.first, self.last, self.min, self.max]
    }
}

/// Appends head, mask, first slot, first value and the columns.
fn put_form(rows: &[Row], first_slot: u32, flags: u8, form: Form, out: &mut Vec<u8>, scratch: &mut Scratch) {
    out.push(flags | form.head());
    let fields = if flags & WITH_FALLS != 0 { FIELDS } else { FALLS };
    let chained = flags & CHAINED != 0;
    let first = rows.first().map_or(0, |row| form.number(row.first));
    let mut mask = 0;
    let mut columns = Vec::with_capacity(rows.len() * 16);
    for field in 0..fields {
        scratch.numbers.clear();
        let (mut slot, mut before) = (first_slot, first);
        for row in rows {
            let numbers = Numbers::of(row, form);
            scratch.numbers.push(residual(field, row, numbers, form, chained, slot, before));
            (slot, before) = (row.slot + 1, numbers.last);
        }
        if scratch.numbers.iter().any(|number| *number != 0) {
            mask |= 1 << field;
            Column::put(&scratch.numbers, &mut columns, scratch.ints.memory());
        }
    }
    put_varint(mask, out);
    put_varint(u64::from(first_slot), out);
    put_signed(first, out);
    out.append(&mut columns);
}

/// What a field is beyond what the fields before it suggest. `slot` and `before`: those that would follow smoothly on
/// the row before. [`Restorer::field`] is the inverse.
fn residual(
    field: usize,
    row: &Row,
    numbers: Numbers,
    form: Form,
    chained: bool,
    slot: u32,
    before: i64,
) -> i64 {
    let Numbers { first, last, min, max } = numbers;
    let relative = |number: i64, to: i64| if chained { number.wrapping_sub(to) } else { number };
    let expected = |count| if chained { form.expected(count, numbers.around()) } else { 0 };
    let ulps = |value: f64| place_of(value).wrapping_sub(place_of(form.value(form.sum(value))));
    match field {
        GAPS => i64::from(row.slot) - i64::from(slot),
        COUNT => i64::from(row.count),
        FIRST => relative(first, before),
        LAST => relative(last, first),
        MIN => relative(min, first.min(last)),
        MAX => relative(max, first.max(last)),
        SUM => form.sum(row.sum).wrapping_sub(expected(row.count)),
        SUM_ULPS => ulps(row.sum),
        FALLS => i64::from(row.falls),
        DROPPED => form.sum(row.dropped).wrapping_sub(if row.falls == 0 { 0 } else { expected(row.falls) }),
        _ => ulps(row.dropped),
    }
}

/// Turns columns back into fields, in their order. Until the end, floats hold their integers as bits.
struct Restorer {
    form: Form,
    chained: bool,
    slot: u32,
    before: i64,
}

/// The integer that a field holds until [`Restorer::finish`].
fn held(value: f64) -> i64 {
    value.to_bits() as i64
}

fn hold(number: i64) -> f64 {
    f64::from_bits(number as u64)
}

impl Restorer {
    fn field(&mut self, field: usize, column: &mut Column<'_>, rows: &mut [Row]) -> Result<(), Malformed> {
        let Self { form, chained, .. } = *self;
        let base = |number: i64| if chained { number } else { 0 };
        let expected = |count, row: &Row| {
            let around = [held(row.first), held(row.last), held(row.min), held(row.max)];
            if chained { form.expected(count, around) } else { 0 }
        };
        match field {
            GAPS => {
                let mut slot = i64::from(self.slot);
                column.each(rows, |row, gap| {
                    let gap = u32::try_from(gap).map_err(|_| Malformed)?;
                    row.slot = u32::try_from(slot + i64::from(gap)).map_err(|_| Malformed)?;
                    slot = i64::from(row.slot) + 1;
                    Ok(())
                })
            }
            COUNT => column.each(rows, |row, count| {
                row.count = u32::try_from(count).map_err(|_| Malformed)?;
                if row.count == 0 { Err(Malformed) } else { Ok(()) }
            }),
            // The last one of the row before is not known yet: what is held is the distance to it.
            FIRST => column.set(rows, |row, number| row.first = hold(number)),
            LAST => {
                let mut before = self.before;
                column.set(rows, |row, number| {
                    let first = held(row.first).wrapping_add(base(before));
                    let last = number.wrapping_add(base(first));
                    (row.first, row.last) = (hold(first), hold(last));
                    before = last;
                })
            }
            MIN => column.set(rows, |row, number| {
                row.min = hold(number.wrapping_add(base(held(row.first).min(held(row.last)))));
            }),
            MAX => column.set(rows, |row, number| {
                row.max = hold(number.wrapping_add(base(held(row.first).max(held(row.last)))));
            }),
            SUM => column.set(rows, |row, number| {
                row.sum = form.value(number.wrapping_add(expected(row.count, row)));
            }),
            FALLS => column.each(rows, |row, falls| {
                row.falls = u32::try_from(falls).map_err(|_| Malformed)?;
                Ok(())
            }),
            DROPPED => column.set(rows, |row, number| {
                let expected = if row.falls == 0 { 0 } else { expected(row.falls, row) };
                row.dropped = form.value(number.wrapping_add(expected));
            }),
            SUM_ULPS => {
                column.set(rows, |row, ulps| row.sum = float_at(place_of(row.sum).wrapping_add(ulps)))
            }
            _ => {
                column.set(rows, |row, ulps| row.dropped = float_at(place_of(row.dropped).wrapping_add(ulps)))
            }
        }
    }

    fn finish(&self, with_falls: bool, rows: &mut [Row]) {
        for row in rows {
            for value in [&mut row.first, &mut row.last, &mut row.min, &mut row.max] {
                *value = self.form.value(held(*value));
            }
            if !with_falls {
                row.dropped = 0.0;
            }
        }
    }
}

/// Integers over their lowest, as words of equal bits or as radix words, whichever is shorter.
struct Column<'a> {
    low: i64,
    numbers: Option<Unpacker<'a>>,
}

impl<'a> Column<'a> {
    const ZERO: Self = Self { low: 0, numbers: None };

    fn put(numbers: &[i64], out: &mut Vec<u8>, packed: &mut Vec<u64>) {
        let low = numbers.iter().copied().min().unwrap_or_default();
        packed.clear();
        packed.extend(numbers.iter().map(|number| number.wrapping_sub(low) as u64));
        let max = packed.iter().copied().max().unwrap_or_default();
        put_signed(low, out);
        if max == 0 {
            return out.push(0);
        }
        let width = 64 - max.leading_zeros();
        let layout = Layout::best(max, packed.len());
        let plain = (packed.len() * width as usize).div_ceil(8);
        if layout.digits() > 1 && layout.bytes(packed.len()) + varint_len(max) < plain {
            out.push(RADIX + layout.digits() as u8);
            put_varint(max, out);
            radix::pack(packed, layout, out);
        } else {
            out.push(width as u8);
            let mut writer = BitWriter::new(out);
            packed.iter().for_each(|number| writer.put(*number, width));
            writer.finish();
        }
    }

    fn read(input: &mut Input<'a>, count: usize) -> Result<Self, Malformed> {
        let low = input.signed()?;
        let shape = input.byte()?;
        let layout = match shape {
            0 => return Ok(Self { low, numbers: None }),
            1..=RADIX => Layout::new(u64::MAX >> (RADIX - shape), 1),
            _ => Layout::new(input.varint()?, usize::from(shape - RADIX)),
        };
        let layout = layout.ok_or(Malformed)?;
        let numbers = Unpacker::new(input.take(layout.bytes(count))?, count, layout)?;
        Ok(Self { low, numbers: Some(numbers) })
    }

    /// Calls `set` with every row and its number.
    fn set(&mut self, rows: &mut [Row], mut set: impl FnMut(&mut Row, i64)) -> Result<(), Malformed> {
        self.each(rows, |row, number| {
            set(row, number);
            Ok(())
        })
    }

    fn each(
        &mut self,
        rows: &mut [Row],
        mut set: impl FnMut(&mut Row, i64) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let low = self.low;
        let Some(numbers) = &mut self.numbers else {
            return rows.iter_mut().try_for_each(|row| set(row, low));
        };
        let mut rows = rows.iter_mut();
        let mut chunk = [0; CHUNK];
        loop {
            let count = numbers.next(&mut chunk);
            if count == 0 {
                return Ok(());
            }
            for (number, row) in chunk[..count].iter().zip(&mut rows) {
                set(row, low.wrapping_add(*number as i64))?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The row of one slot's samples, folded as the engine folds them.
    fn fold(slot: u32, samples: &[f64]) -> Row {
        let mut row = Row { slot, count: samples.len() as u32, first: samples[0], ..EMPTY };
        (row.min, row.max, row.last) = (samples[0], samples[0], samples[samples.len() - 1]);
        for value in samples {
            row.sum += value;
            row.min = row.min.min(*value);
            row.max = row.max.max(*value);
        }
        for pair in samples.windows(2) {
            if pair[1] < pair[0] {
                row.falls += 1;
                row.dropped += pair[0];
            }
        }
        row
    }

    fn noise(index: u64) -> u64 {
        let mixed = (index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ (mixed >> 32)
    }

    fn day(slots: u32, per_slot: u64, mut value: impl FnMut(u64) -> f64) -> Vec<Row> {
        let mut row = |slot| {
            let samples: Vec<f64> = (0..per_slot).map(|i| value(u64::from(slot) * per_slot + i)).collect();
            fold(slot, &samples)
        };
        (0..slots).map(&mut row).collect()
    }

    fn walk() -> impl FnMut(u64) -> f64 {
        let mut sum = 5_000;
        move |index| {
            sum += (noise(index) % 101) as i64 - 50;
            sum as f64 / 100.0
        }
    }

    fn encoded(rows: &[Row], with_falls: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(rows, with_falls, &mut bytes, &mut Scratch::default());
        bytes
    }

    fn bits(row: &Row) -> ([u32; 3], [u64; 6]) {
        let floats = [row.sum, row.min, row.max, row.first, row.last, row.dropped];
        ([row.slot, row.count, row.falls], floats.map(f64::to_bits))
    }

    fn check(rows: &[Row], slots: u32) {
        let mut read = vec![EMPTY; 3];
        assert_eq!(decode(&encoded(rows, true), slots, &mut read), Ok(true));
        assert!(rows.iter().map(bits).eq(read.iter().map(bits)), "{rows:?} {read:?}");
        assert_eq!(decode(&encoded(rows, false), slots, &mut read), Ok(false));
        let without = rows.iter().map(|row| Row { falls: 0, dropped: 0.0, ..*row });
        assert!(without.map(|row| bits(&row)).eq(read.iter().map(bits)), "{rows:?} {read:?}");
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (-100_000..100_000_i64).prop_map(|number| number as f64 / 100.0),
            1 => any::<u64>().prop_map(f64::from_bits),
            1 => Just(-0.0),
            1 => any::<f64>(),
        ]
    }

    /// Rows that samples could give, and rows of anything.
    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let decimal = (-1_000_000..1_000_000_i64, 0..8_i32);
        let samples = prop::collection::vec((1..90_u32, prop::collection::vec(decimal, 1..20)), 1..16);
        let folded = (samples, any::<bool>()).prop_map(|(rows, same)| {
            let mut slot = 0;
            let mut row = |(gap, samples): (u32, Vec<(i64, i32)>)| {
                slot += gap;
                let value = |(number, decimals): (i64, i32)| {
                    number as f64 / 10_f64.powi(if same { 2 } else { decimals })
                };
                let samples: Vec<f64> = samples.into_iter().map(value).collect();
                fold(slot - 1, &samples)
            };
            rows.into_iter().map(&mut row).collect::<Vec<_>>()
        });
        let field = || value();
        let anything =
            (1..90_u32, 1..=u32::MAX, any::<u32>(), (field(), field(), field(), field(), field(), field()));
        let anything = prop::collection::vec(anything, 0..16).prop_map(|rows| {
            let mut next = 0;
            let mut row = |(gap, count, falls, (sum, min, max, first, last, dropped))| {
                next += gap;
                Row { slot: next - 1, count, sum, min, max, first, last, falls, dropped }
            };
            rows.into_iter().map(&mut row).collect::<Vec<_>>()
        });
        prop_oneof![folded, anything]
    }

    proptest! {
        #[test]
        fn rows_round_trip(rows in rows()) {
            check(&rows, 1_440);
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), head in 0..32_u8) {
            let mut rows = Vec::new();
            let _answer = decode(&bytes, 1_440, &mut rows);
            let mut column = vec![24, head];
            column.extend(bytes);
            if decode(&column, 24, &mut rows).is_ok() {
                prop_assert!(rows.iter().all(|row| row.slot < 24 && row.count > 0));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn flipped_bits_do_no_harm(rows in rows()) {
            let mut bytes = encoded(&rows, true);
            let mut read = Vec::new();
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                let _answer = decode(&bytes, 1_440, &mut read);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            for cut in 0..bytes.len() {
                prop_assert!(decode(&bytes[..cut], 1_440, &mut read).is_err());
            }
        }
    }

    /// What a day costs, in bytes for all hours: the budget of the store rests on these.
    #[test]
    fn rows_are_small() {
        for (rows, max) in [
            (day(24, 360, |_| 21.37), 12),
            (day(24, 360, |_| 0.1), 12),
            (day(24, 360, |_| 1_234_567.0), 12),
            (day(24, 360, walk()), 24 * 9),
            (day(24, 360, |index| 1.0 + (noise(index) >> 11) as f64 / 2_f64.powi(53)), 24 * 35),
            (day(1_440, 60, walk()), 1_440 * 7),
        ] {
            check(&rows, rows.len() as u32);
            let bytes = encoded(&rows, false);
            println!("{} of {max}", bytes.len());
            assert!(bytes.len() <= max, "{} of {max}", bytes.len());
        }
        let counter = day(24, 360, |index| index as f64 * 3.0);
        assert!(encoded(&counter, true).len() <= encoded(&counter, false).len(), "no falls, no bytes");
    }
}
