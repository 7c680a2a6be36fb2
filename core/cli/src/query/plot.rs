//! A small plot of numbers in block characters, for a glance: what rises, what falls, where it stands out.

const ROWS: usize = 8;
/// Room for the numbers beside the axis.
const MARGIN: usize = 12;
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The plot, `width` columns at most, each line ended; empty for fewer than two values, or none that is finite. Where
/// values are more than columns, a column shows its highest.
pub(super) fn plot(values: &[f32], width: usize) -> String {
    let columns = columns(values, width.saturating_sub(MARGIN).max(1));
    let finite = || columns.iter().copied().filter(|value| value.is_finite());
    let (low, high) = (finite().fold(f32::INFINITY, f32::min), finite().fold(f32::NEG_INFINITY, f32::max));
    if values.len() < 2 || low > high {
        return String::new();
    }
    let mut text = String::new();
    for row in (0..ROWS).rev() {
        let label = match row {
            0 => low.to_string(),
            row if row == ROWS - 1 => high.to_string(),
            _ => String::new(),
        };
        let line: String = columns.iter().map(|value| cell(*value, low, high, row)).collect();
        text += &format!("{label:>width$} ┤{}\n", line.trim_end(), width = MARGIN - 2);
    }
    text
}

fn columns(values: &[f32], count_max: usize) -> Vec<f32> {
    let per_column = values.len().div_ceil(count_max).max(1);
    values.chunks(per_column).map(|chunk| chunk.iter().copied().fold(f32::NAN, f32::max)).collect()
}

/// What one value fills of one row; the lowest value fills one eighth, so that it shows.
fn cell(value: f32, low: f32, high: f32, row: usize) -> char {
    if !value.is_finite() {
        return ' ';
    }
    // In f64, since the span of two f32 may be more than an f32 holds.
    let (value, low, high) = (f64::from(value), f64::from(low), f64::from(high));
    let share = if high > low { (value - low) / (high - low) } else { 0.0 };
    let eighths = 1 + (share * (ROWS * 8 - 1) as f64).round() as usize;
    EIGHTHS[eighths.saturating_sub(row * 8).min(8)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_looks_like_one() {
        let values: Vec<f32> = (0..16).map(|i| i as f32).collect();
        insta::assert_snapshot!(plot(&values, 80), @"
        15 ┤              ▄█
           ┤            ▃███
           ┤          ▃▇████
           ┤        ▃▇██████
           ┤      ▂▆████████
           ┤    ▂▆██████████
           ┤  ▁▆████████████
         0 ┤▁▅██████████████
        ");
    }

    #[test]
    fn odd_values_leave_gaps_and_few_leave_nothing() {
        assert_eq!(plot(&[1.0], 80), "");
        assert_eq!(plot(&[f32::NAN, f32::INFINITY], 80), "");
        let line = plot(&[f32::MIN, f32::NAN, f32::MAX], 80).lines().next().map(str::to_owned);
        assert!(line.is_some_and(|line| line.ends_with("┤  █")));
        assert!(plot(&[5.0; 1_000], 40).lines().all(|line| line.chars().count() <= 40 + 1));
    }
}
