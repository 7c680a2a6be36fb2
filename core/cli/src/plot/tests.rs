//! What plots look like, and that they stay within their size.

use proptest::prelude::*;

use super::*;

/// 2017-07-14T02:40:00Z.
const NOW: i64 = 1_500_000_000_000_000_000;
const MINUTE: i64 = 60_000_000_000;

/// A point per minute.
fn line(name: &str, values: impl IntoIterator<Item = f64>) -> Line {
    let points = values.into_iter().enumerate().map(|(i, value)| (NOW + i as i64 * MINUTE, value));
    Line { name: name.into(), points: points.collect() }
}

fn plot(lines: &[Line]) -> Plot<'_> {
    let gap = Some(90_000_000_000);
    let (bands, style, size) = (&[][..], Style::Braille, (60, 12));
    Plot { lines, bands, period: None, gap, unit: Unit::Plain, style, color: false, size }
}

/// A wave of `periods` around `middle`.
fn wave(middle: f64, height: f64, periods: f64) -> impl Iterator<Item = f64> {
    (0..60).map(move |i| middle + height * (f64::from(i) / 60.0 * periods * std::f64::consts::TAU).sin())
}

fn text(plot: &Plot<'_>) -> String {
    draw(plot).join("\n")
}

#[test]
fn two_waves_cross() {
    let lines =
        [line(r#"cpu.load{host="a"}"#, wave(1_500.0, 1_200.0, 1.0)), line("b", wave(900.0, 800.0, 2.0))];
    insta::assert_snapshot!(text(&plot(&lines)), @r#"
    3k ┤
       │       ⢀⡠⠔⠒⠊⠉⠉⠉⠉⠉⠑⠒⠢⢄
       │    ⢀⠔⠊⠁             ⠉⠒⢄
    2k ┤  ⡠⠒⠁ ⢀⣀                ⠉⠒⢄        ⣀
       │⠔⠉ ⣀⠜⠉⠁ ⠉⠉⠢⣀               ⠉⠢⡀ ⣀⠔⠉⠉ ⠉⠉⠢⣀               ⢀
    1k ┤ ⡠⠊         ⠣⡀               ⡨⠛⢄⡀       ⠑⢄          ⢀⡠⠊⠁
       │⠊            ⠈⠢⢄           ⡠⠊   ⠈⠢⢄⡀      ⠉⠢⡀     ⣀⠔⠁  ⡠
       │                ⠑⢄⡀     ⢀⡠⠊        ⠈⠒⠤⠤⣀⣀⣀ ⢀⣑⣄⡤⠤⠒⠉  ⢀⡠⠊
     0 ┤                  ⠈⠒⠢⠤⠔⠒⠁                 ⠉⠁  ⠈⠒⠢⠤⠤⠒⠁
       └─────┬─────────────┬─────────────┬─────────────┬────────
           02:45         03:00         03:15         03:30
    ━ cpu.load{host="a"} ━ b
    "#);
    insta::assert_snapshot!(text(&Plot { style: Style::Blocks, ..plot(&lines) }), @r#"
    3k ┤
       │       ▗▄▄▞▀▀▀▀▀▀▀▚▄▄
       │    ▗▄▞▘             ▀▄▄
    2k ┤  ▄▀▘ ▗▄                ▀▀▄        ▄
       │▄▀ ▄▞▀▘ ▀▀▄▄               ▀▚▖ ▄▄▀▀ ▀▀▄▄               ▗
    1k ┤ ▄▀         ▚▖               ▟▜▄▖       ▀▄          ▗▄▞▘
       │▀            ▝▚▖           ▗▀   ▝▀▚▖      ▀▄      ▄▀▘  ▗
       │               ▝▚▄▖     ▗▄▞▘       ▝▀▀▄▄▄▄▄▄▙▄▄▀▀▀  ▗▄▞▘
     0 ┤                  ▝▀▀▀▀▀▘                     ▝▀▀▀▀▀▘
       └─────┬─────────────┬─────────────┬─────────────┬────────
           02:45         03:00         03:15         03:30
    ━ cpu.load{host="a"} ━ b
    "#);
    insta::assert_snapshot!(text(&Plot { style: Style::Ascii, ..plot(&lines) }), @r#"
    3k +
       |        *************
       |     ***             ***
    2k +  ***  +                ***       ++
       |** ++++ ++++               *** ++++ ++++               *
    1k + ++         ++               +***       ++          ***
       |+             +++         +++    ***      +++   ****  ++
       |                 +++   +++          *************  +++
     0 +                    +++                         +++
       +-----+-------------+-------------+-------------+--------
           02:45         03:00         03:15         03:30
    * cpu.load{host="a"} + b
    "#);
}

#[test]
fn colors_change_as_rarely_as_they_can() {
    let lines = [line("a", [1.0, 1.0]), line("b", [0.0, 2.0])];
    let colored = text(&Plot { color: true, size: (24, 6), ..plot(&lines) }).replace('\x1b', "^");
    insta::assert_snapshot!(colored, @"
    2 ┤              ^[33m⣀⣀⠤⠤⠒⠒⠉^[0m
    1 ┤^[36m⠤⠤⠤⠤⠤⠤⠤⣤⡤⠤⠴⠶⠮⠭⠤⠤⠤⠤⠤⠤⠤^[0m
    0 ┤^[33m⣀⠤⠤⠒⠒⠉⠉^[0m
      └┬────────────────────
     02:40
    ^[36m━^[0m a ^[33m━^[0m b
    ");
}

#[test]
fn missing_windows_and_numbers_that_are_none_leave_gaps() {
    let mut gaps = line("gaps", wave(0.5, 0.4, 3.0));
    gaps.points.drain(10..20);
    gaps.points[20].1 = f64::NAN;
    gaps.points[21].1 = f64::INFINITY;
    insta::assert_snapshot!(text(&plot(&[gaps])), @"
      1 ┤    ⢀                  ⡀                 ⢀
        │  ⢀⠜⠁⠉⠢⡀             ⡔⠉⠈⠑⢄             ⢠⠊⠁⠉⠢⡀
        │ ⢀⠎    ⠑⡄           ⡸    ⠈⢢           ⢀⠇    ⠑⡄
        │⢀⠎      ⠘          ⡰⠁      ⠃         ⢀⠎      ⠸⡀
    0.5 ┤⠎                 ⠰⠁                 ⡎        ⢇
        │                                    ⡜         ⠈⢆      ⢠
        │                             ⠠⡀   ⢀⠜           ⠈⢆    ⡠⠃
        │                              ⠑⢄ ⢀⠎             ⠈⠢⡀⢀⠔⠁
      0 ┤                                ⠉⠁                ⠈⠁
        └─────┬────────────┬─────────────┬─────────────┬────────
            02:45        03:00         03:15         03:30
    ━ gaps
    ");
}

#[test]
fn units_times_and_the_period_are_on_the_scales() {
    let size = (60, 8);
    let latency = line("latency_seconds", wave(0.15, 0.1, 1.0));
    let memory = line("memory_bytes", wave(3e9, 1e9, 1.0));
    insta::assert_snapshot!(text(&Plot { unit: Unit::Seconds, size, ..plot(&[latency]) }), @"
    300ms ┤          ⢀⣀⣀⣀⣀⣀⡀
    200ms ┤   ⢀⡠⠤⠒⠒⠉⠉⠁     ⠈⠉⠉⠒⠒⠤⢄⡀
          │⠤⠒⠉⠁                   ⠈⠉⠑⠢⠤⣀⣀                    ⢀⣀⡠
    100ms ┤                              ⠉⠒⠢⠤⢄⣀⣀      ⢀⣀⣀⡠⠤⠒⠒⠁
        0 ┤                                     ⠉⠉⠉⠉⠉⠉⠁
          └────┬─────────────┬────────────┬────────────┬────────
             02:45         03:00        03:15        03:30
    ━ latency_seconds
    ");
    let period = Some((NOW - 24 * 60 * MINUTE, NOW + 24 * 60 * MINUTE));
    insta::assert_snapshot!(text(&Plot { unit: Unit::Bytes, period, size, ..plot(&[memory]) }), @"
    4 GiB ┤                          ⢠
    3 GiB ┤                          ⢸⡄
          │                          ⠈⣿
    2 GiB ┤                           ⠇
    1 GiB ┤
          └──────────┬────────────┬────────────┬────────────┬───
                   12:00        07-14        12:00        07-15
    ━ memory_bytes
    ");
}

#[test]
fn one_point_a_constant_and_nothing_at_all() {
    insta::assert_snapshot!(text(&Plot { size: (30, 6), ..plot(&[line("one", [5.0])]) }), @"
    10 ┤
     5 ┤⠄
     0 ┤
       └┬─────────────────────────
    02:40:00
    ━ one
    ");
    insta::assert_snapshot!(text(&Plot { size: (30, 6), ..plot(&[line("zero", [0.0; 30])]) }), @"
     1 ┤
     0 ┤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤
    -1 ┤
       └────┬────────────┬────────
          02:45        03:00
    ━ zero
    ");
    let extremes = line("extremes", [f64::MIN, -1.0, 0.0, 1.0, f64::MAX]);
    insta::assert_snapshot!(text(&Plot { size: (30, 8), ..plot(&[extremes]) }), @"
     1e300 ┤                    ⡠⠊
           │                 ⢀⠔⠊
         0 ┤     ⡠⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠔⠁
           │  ⢀⠔⠉
    -1e300 ┤⡠⠒⠁
           └┬─────────────────────
          02:40
    ━ extremes
    ");
    assert_eq!(text(&plot(&[line("none", [f64::NAN, f64::NEG_INFINITY])])), "");
    assert_eq!(text(&plot(&[])), "");
}

#[test]
fn a_legend_counts_what_it_has_no_room_for() {
    let lines: Vec<Line> = (0..20).map(|i| line(&format!("series number {i}\n"), [f64::from(i)])).collect();
    insta::assert_snapshot!(text(&Plot { size: (60, 9), ..plot(&lines) }), @r"
    20 ┤⡆
       │⡇
    10 ┤⡇
       │⡇
     0 ┤⡇
       └┬───────────────────────────────────────────────────────
    02:40:00
    ━ series number 0\n ━ series number 1\n ━ series number 2\n
    ━ series number 3\n ━ series number 4\n and 15 more
    ");
}

fn without_colors(line: &str) -> String {
    let mut rest = line.split('\x1b');
    let first = rest.next().unwrap_or_default().to_owned();
    rest.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, after)| after))
}

#[test]
fn spans_are_drawn_below_the_times() {
    let lines = [line("load", wave(50.0, 60.0, 2.0))];
    let spans = vec![(NOW - MINUTE, NOW + 12 * MINUTE), (NOW + 31 * MINUTE, NOW + 31 * MINUTE)];
    let bands =
        [Band { owner: 0, spans }, Band { owner: 1, spans: vec![(NOW + 40 * MINUTE, NOW + 50 * MINUTE)] }];
    let drawn = Plot { bands: &bands, size: (50, 10), ..plot(&lines) };
    insta::assert_snapshot!(text(&drawn), @"
     200 ┤
     100 ┤  ⣀⡠⠤⠤⠤⠤⣀⡀              ⢀⣀⠤⠤⠤⠤⣀⡀
         │⠔⠊       ⠈⠒⠤⢄       ⢀⡠⠤⠊⠁      ⠈⠒⠢⢄        ⡠
       0 ┤             ⠉⠑⠒⠒⠒⠒⠉⠁              ⠉⠑⠒⠒⠒⠒⠊⠉
    -100 ┤
         └────┬──────────┬──────────┬─────────┬───────
            02:45      03:00      03:15     03:30
          ▀▀▀▀▀▀▀▀▀▀             ▀
                                       ▀▀▀▀▀▀▀▀
    ━ load
    ");
    insta::assert_snapshot!(text(&Plot { style: Style::Ascii, size: (50, 7), ..drawn }), @"
     200 +
       0 +********************************************
    -100 +
         +----+----------+----------+---------+-------
            02:45      03:00      03:15     03:30
          **********             *
    * load
    ");
}

fn numbers() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        -10.0..10.0,
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::MAX),
        Just(f64::MIN),
        Just(5e-324),
        Just(-0.0)
    ]
}

fn times() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), NOW..NOW + 100 * MINUTE, Just(i64::MIN), Just(i64::MAX), NOW..NOW + 50]
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let points = proptest::collection::vec((times(), numbers()), 0..40);
    let line = ("[a-z温\\x1b\\n]{0,30}", points).prop_map(|(name, mut points)| {
        points.sort_by_key(|point| point.0);
        Line { name, points }
    });
    proptest::collection::vec(line, 0..10)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn nothing_breaks_a_plot_or_its_frame(
        lines in lines(),
        period in proptest::option::of((times(), times())),
        gap in proptest::option::of(any::<u64>()),
        style in prop_oneof![Just(Style::Braille), Just(Style::Blocks), Just(Style::Ascii)],
        unit in prop_oneof![Just(Unit::Plain), Just(Unit::Seconds), Just(Unit::Bytes)],
        color in any::<bool>(),
        size in (0_usize..90, 0_usize..30),
        spans in proptest::collection::vec((times(), times()), 0..4),
    ) {
        let bands: Vec<_> = (0..spans.len()).map(|owner| Band { owner, spans: spans.clone() }).collect();
        let drawn = draw(&Plot { lines: &lines, bands: &bands, period, gap, unit, style, color, size });
        prop_assert!(drawn.len() <= size.1, "{} lines", drawn.len());
        for line in drawn {
            let plain = without_colors(&line);
            prop_assert!(crate::output::text::width(&plain) <= size.0, "{plain}");
            prop_assert!(!plain.contains(char::is_control));
        }
    }
}
