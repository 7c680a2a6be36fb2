use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use sereno_client::ClientError;
use sereno_client::messages::{Alert, Busy, Figure, Info, RuleStatus};

use super::*;

const NOW: i64 = 1_500_000_000_000_000_000;
const LOOK: Look = Look { color: true, utf8: true };

fn answers(stored: f64, secs: i64) -> Answers {
    let figure = |name: &str, value| Figure { name: name.into(), value };
    let info = Info {
        server: "serenod 0.1.0\x1b[2J".into(),
        time: NOW + secs * 1_000_000_000,
        started: NOW - 7_500_000_000_000,
        connections: 3,
        series: 1_200,
        generation: 2,
        rules: 5,
        alerts: 2,
        figures: vec![
            figure("storage_samples_total", stored),
            figure(r#"queue_depth{queue="queries"}"#, 200.0),
            figure(r#"queue_capacity{queue="queries"}"#, 256.0),
            figure(r#"queue_depth{queue="notifications"}"#, 0.0),
            figure(r#"queue_capacity{queue="notifications"}"#, 10_000.0),
        ],
        ..Info::default()
    };
    let busy = |index: u32| Busy {
        name: format!("http.requests.of.a.service.with.a.long.name.{index}"),
        samples_per_second: 12_345.6 / f64::from(index + 1),
        series: 1_000,
    };
    let alert = |rule: &str, level: &str, message: &str, ago: i64| Alert {
        rule: rule.into(),
        level: level.into(),
        state: "firing".into(),
        since: NOW - ago * 1_000_000_000,
        message: message.into(),
        ..Alert::default()
    };
    let rule = |id: &str, health: &str, last_duration| RuleStatus {
        id: id.into(),
        health: health.into(),
        last_duration,
        evaluations: 1,
        ..RuleStatus::default()
    };
    let alerts =
        vec![alert("disk_full", "warn", "", 90), alert("cpu_high", "crit", "a: load 97.5\x1b[2J\n(crit)", 3)];
    let rules =
        vec![rule("cpu_high", "ok", 1_250_000), rule("odd", "error", 90_000_000), rule("new", "waiting", 0)];
    Answers::new(info, (0..30).map(busy).collect(), alerts, rules)
}

fn board() -> Board {
    let mut board = Board::new("db.example:5678");
    // A rate that rises, and falls again.
    let mut stored = 0.0;
    for secs in 0..60 {
        stored += f64::from(30 - (secs - 30_i32).abs()) * 100.0;
        board.take(answers(stored, secs.into()));
    }
    board
}

fn drawn(width: u16, height: u16, board: &Board, ui: &Ui, look: Look) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("memory is a terminal");
    terminal.draw(|frame| draw(frame, board, ui, look)).expect("memory takes everything");
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(row).collect::<Vec<_>>().join("\n")
}

fn pressed(keys: &[KeyCode], board: &Board) -> Ui {
    let mut ui = Ui::default();
    for key in keys {
        ui.take(&Event::Key(KeyEvent::new(*key, KeyModifiers::NONE)), board);
    }
    ui
}

#[test]
fn a_small_terminal_shows_everything_at_a_glance() {
    insta::assert_snapshot!(drawn(80, 24, &board(), &Ui::default(), LOOK), @r"
    serenod 0.1.0\u{1b}[2J at db.example:5678, up 2h5m
    series 1200  connections 3  rules 5 (generation 2)  alerts 2
    ╭ ingest 100 samples/s, peak 3000 ─────────────────────────────────────────────╮
    │                                        ▁▂▃▄▄▅▆▇█▇▆▅▄▄▃▂▁                     │
    │                              ▁▂▃▄▄▅▆▇█████████████████████▇▆▅▄▄▃▂▁           │
    │                    ▁▂▃▄▄▅▆▇█████████████████████████████████████████▇▆▅▄▄▃▂▁ │
    ╰──────────────────────────────────────────────────────────────────────────────╯
    ╭ alerts 2 ────────────────────────────╮╭ busiest metrics 30 ──────────────────╮
    │alert                    level     for││metric              samples/s   series│
    │a: load 97.5\u{1b}[2J\n… crit     1m2s││http.requests.of.…      12346     1000│
    │disk_full                warn    2m29s││http.requests.of.…       6173     1000│
    │                                      ││http.requests.of.…       4115     1000│
    │                                      ││http.requests.of.…       3086     1000│
    │                                      ││http.requests.of.…       2469     1000│
    ╰──────────────────────────────────────╯╰──────────────────────────────────────╯
    ╭ slowest rules 3 ─────────────────────╮╭ queues 2 ────────────────────────────╮
    │rule               health         took││queue                 waiting room for│
    │odd                error          90ms││notifications               0    10000│
    │cpu_high           ok           1.25ms││queries                   200      256│
    │new                waiting            ││                                      │
    │                                      ││                                      │
    │                                      ││                                      │
    ╰──────────────────────────────────────╯╰──────────────────────────────────────╯
    q end  tab panel  up/down scroll  ? help
    ");
}

#[test]
fn a_large_terminal_shows_more() {
    insta::assert_snapshot!(drawn(120, 40, &board(), &Ui::default(), LOOK), @r"
    serenod 0.1.0\u{1b}[2J at db.example:5678, up 2h5m
    series 1200  connections 3  rules 5 (generation 2)  alerts 2
    ╭ ingest 100 samples/s, peak 3000 ─────────────────────────────────────────────────────────────────────────────────────╮
    │                                                                                    ▁▃▄▆█▆▄▃▁                         │
    │                                                                               ▁▃▄▆███████████▆▄▃▁                    │
    │                                                                          ▁▃▄▆█████████████████████▆▄▃▁               │
    │                                                                     ▁▃▄▆███████████████████████████████▆▄▃▁          │
    │                                                                ▁▃▄▆█████████████████████████████████████████▆▄▃▁     │
    │                                                           ▁▃▄▆███████████████████████████████████████████████████▆▄▃▁│
    ╰──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────╯
    ╭ alerts 2 ────────────────────────────────────────────────╮╭ busiest metrics 30 ──────────────────────────────────────╮
    │alert                                        level     for││metric                                  samples/s   series│
    │a: load 97.5\u{1b}[2J\n(crit)                crit     1m2s││http.requests.of.a.service.with.a.lon…      12346     1000│
    │disk_full                                    warn    2m29s││http.requests.of.a.service.with.a.lon…       6173     1000│
    │                                                          ││http.requests.of.a.service.with.a.lon…       4115     1000│
    │                                                          ││http.requests.of.a.service.with.a.lon…       3086     1000│
    │                                                          ││http.requests.of.a.service.with.a.lon…       2469     1000│
    │                                                          ││http.requests.of.a.service.with.a.lon…       2058     1000│
    │                                                          ││http.requests.of.a.service.with.a.lon…       1764     1000│
    │                                                          ││http.requests.of.a.service.with.a.lon…       1543     1000│
    │                                                          ││http.requests.of.a.service.with.a.lon…       1372     1000│
    │                                                          ││http.requests.of.a.service.with.a.lon…       1235     1000│
    │                                                          ││http.requests.of.a.service.with.a.lon…       1122     1000│
    │                                                          ││http.requests.of.a.service.with.a.lon…       1029     1000│
    ╰──────────────────────────────────────────────────────────╯╰──────────────────────────────────────────────────────────╯
    ╭ slowest rules 3 ─────────────────────────────────────────╮╭ queues 2 ────────────────────────────────────────────────╮
    │rule                                   health         took││queue                                     waiting room for│
    │odd                                    error          90ms││notifications                                   0    10000│
    │cpu_high                               ok           1.25ms││queries                                       200      256│
    │new                                    waiting            ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    │                                                          ││                                                          │
    ╰──────────────────────────────────────────────────────────╯╰──────────────────────────────────────────────────────────╯
    q end  tab panel  up/down scroll  ? help
    ");
}

#[test]
fn a_narrow_terminal_shows_the_panel_in_focus() {
    let board = board();
    let ui = pressed(&[KeyCode::Tab, KeyCode::Down, KeyCode::Down], &board);
    insta::assert_snapshot!(drawn(40, 12, &board, &ui, Look { color: false, utf8: false }), @r"
    serenod 0.1.0\u{1b}[2J at db.example:567
    series 1200  connections 3  rules 5 (gen
    + ingest 100 samples/s, peak 3000 -----+
    |=###############========-------____   |
    +--------------------------------------+
    + busiest metrics 30 ------------------+
    |metric              samples/s   series|
    |http.requests.of.~       4115     1000|
    |http.requests.of.~       3086     1000|
    |http.requests.of.~       2469     1000|
    +--------------------------------------+
    q end  tab panel  up/down scroll  ? help
    ");
}

#[test]
fn a_server_that_went_away_or_reads_its_log_says_so() {
    let mut board = board();
    board.lose(&ClientError::WriterClosed);
    insta::assert_snapshot!(drawn(80, 3, &board, &Ui::default(), LOOK), @r"
    serenod 0.1.0\u{1b}[2J at db.example:5678, up 2h5m  LOST, this is how it was
    series 1200  connections 3  rules 5 (generation 2)  alerts 2
    the writer is closed; trying again
    ");
    let mut answers = answers(0.0, 0);
    answers.info.recovering = true;
    board.take(answers);
    insta::assert_snapshot!(drawn(80, 3, &board, &Ui::default(), LOOK), @r"
    serenod 0.1.0\u{1b}[2J at db.example:5678, up 2h5m  RECOVERING, it reads its log
    series 1200  connections 3  rules 5 (generation 2)  alerts 2
    q end  tab panel  up/down scroll  ? help
    ");
    insta::assert_snapshot!(drawn(80, 3, &Board::new("SERVER"), &Ui::default(), LOOK), @"
    asking SERVER

    q end  tab panel  up/down scroll  ? help
    ");
}

#[test]
fn help_covers_the_middle() {
    let board = board();
    insta::assert_snapshot!(drawn(60, 14, &board, &pressed(&[KeyCode::Char('?')], &board), LOOK), @r"
    serenod 0.1.0\u{1b}[2J at db.example:5678, up 2h5m
    series ╭ keys ──────────────────────────────────────╮lerts 2
    ╭ inges│tab, right         next panel               │──────╮
    │  ▁▁▁▁│shift-tab, left    previous panel           │▁▁▁   │
    ╰──────│up, down           scroll                   │──────╯
    ╭ alert│page up, page down scroll by ten            │──────╮
    │alert │home, end          first, last              │   for│
    │a: loa│?                  this help                │  1m2s│
    │disk_f│q, esc, ctrl-c     end                      │ 2m29s│
    │      │                                            │      │
    │      │busiest metrics: over the last minute       │      │
    │      ╰────────────────────────────────────────────╯      │
    ╰──────────────────────────────────────────────────────────╯
    q end  tab panel  up/down scroll  ? help
    ");
}

#[test]
fn no_size_is_too_small_and_no_list_too_short() {
    let (empty, full) = (Board::new(""), board());
    for board in [&empty, &full] {
        for keys in [
            &[][..],
            &[KeyCode::Char('?')],
            &[KeyCode::Tab, KeyCode::End],
            &[KeyCode::BackTab, KeyCode::PageDown],
        ] {
            let ui = pressed(keys, &full);
            for (width, height) in
                (0..26).flat_map(|height| [0, 1, 2, 3, 5, 9, 69, 70, 200].map(|width| (width, height)))
            {
                drawn(width, height, board, &ui, LOOK);
            }
        }
    }
}

#[test]
fn without_colours_there_are_none() {
    let colors = |look: Look| {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("memory is a terminal");
        terminal.draw(|frame| draw(frame, &board(), &Ui::default(), look)).expect("memory takes everything");
        let buffer = terminal.backend().buffer();
        buffer.content().iter().filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
    };
    assert!(colors(LOOK) > 0);
    assert_eq!(colors(Look { color: false, ..LOOK }), 0);
}
