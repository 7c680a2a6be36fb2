//! Tables of figures and goals.

/// A table whose lines are printed as they come.
pub struct Table(());

/// How wide the first column is; the others are as wide as their figures.
const NAME: usize = 52;
const FIGURE: usize = 14;

impl Table {
    pub fn new(title: &str, columns: &[&str]) -> Self {
        println!();
        print(title, columns.iter().map(ToString::to_string));
        Self(())
    }

    pub fn row(&self, name: &str, figures: impl IntoIterator<Item = String>) {
        print(name, figures.into_iter());
    }
}

fn print(name: &str, figures: impl Iterator<Item = String>) {
    let figures: String = figures.map(|figure| format!(" {figure:>FIGURE$}")).collect();
    println!("{name:<NAME$}{figures}");
}

/// A figure, its goal, and their ratio: up to 1 is as good as wanted.
pub fn with_goal(figure: f64, goal: Option<f64>) -> [String; 3] {
    [round(figure), optional(goal), optional(goal.map(|goal| figure / goal))]
}

pub fn optional(figure: Option<f64>) -> String {
    figure.map_or_else(|| "-".to_owned(), round)
}

/// Four significant digits, more before the point.
pub fn round(figure: f64) -> String {
    let digits = figure.abs().log10().floor();
    let decimals = if digits.is_finite() { (3.0 - digits).clamp(0.0, 6.0) as usize } else { 0 };
    format!("{figure:.decimals$}")
}
