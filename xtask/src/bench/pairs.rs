//! Ratios that hold on a noisy machine: windows with and without the agent in the order B A A B, each compared only with its
//! neighbour, and as a control the two windows in the middle, between which nothing was changed.
use anyhow::Result;
use serde_json::{Value, json};

/// One window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// What the measured program spent on one unit of work: nanoseconds on a CPU.
    pub cost: f64,
    /// Units a second.
    pub rate: f64,
}

/// Median and quartiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// First quartile.
    pub low: f64,
    /// Median.
    pub median: f64,
    /// Third quartile.
    pub high: f64,
}

impl Spread {
    /// Of at least one value; quantiles between two values are interpolated.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let quantile = |part: f64| {
            let place = part * sorted.len().saturating_sub(1) as f64;
            let (below, above) = (place.floor() as usize, place.ceil() as usize);
            let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
            at(below) + (at(above) - at(below)) * place.fract()
        };
        Self { low: quantile(0.25), median: quantile(0.5), high: quantile(0.75) }
    }

    /// Half the distance of the quartiles.
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }

    /// For the results file.
    pub fn json(&self) -> Value {
        json!({"median": self.median, "q1": self.low, "q3": self.high})
    }
}

/// The outcome of paired windows.
#[derive(Debug)]
pub struct Paired {
    /// Cost with the agent over cost without it.
    pub ratio: Spread,
    /// The same between two windows without it.
    pub control: Spread,
    /// Nanoseconds per unit without it.
    pub base: Spread,
    /// Units a second without it, and with it.
    pub rates: (Spread, Spread),
    /// Number of ratios.
    pub pairs: usize,
}

impl Paired {
    /// What a verdict goes by: the median, less what the control shows to be noise.
    pub fn proven(&self) -> f64 {
        self.ratio.median - self.control.half_width()
    }

    /// Whether the agent makes nothing slower than the control shows to happen without it.
    pub fn is_within_control(&self) -> bool {
        self.ratio.median <= self.control.high
    }

    /// For the results file.
    pub fn json(&self) -> Value {
        json!({
            "ratio": self.ratio.json(), "control": self.control.json(), "pairs": self.pairs, "base_ns": self.base.json(),
            "per_second_without": self.rates.0.json(), "per_second_with": self.rates.1.json(),
        })
    }
}

/// Measures `blocks` times B A A B. `window` is told whether the agent is to run, and does everything itself.
pub fn measure(blocks: usize, window: &mut dyn FnMut(bool) -> Result<Sample>) -> Result<Paired> {
    let (mut ratios, mut controls, mut with, mut without) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for block in 0..blocks {
        let [before, first, second, after] = [window(true)?, window(false)?, window(false)?, window(true)?];
        ratios.extend([before.cost / first.cost, after.cost / second.cost]);
        // Taken in turn, so that a machine that becomes slower or faster does not move the control's median.
        controls.push(if block % 2 == 0 { second.cost / first.cost } else { first.cost / second.cost });
        with.extend([before, after]);
        without.extend([first, second]);
    }
    let of = |samples: &[Sample], value: fn(&Sample) -> f64| Spread::of(samples.iter().map(value));
    Ok(Paired {
        pairs: ratios.len(),
        ratio: Spread::of(ratios),
        control: Spread::of(controls),
        base: of(&without, |sample| sample.cost),
        rates: (of(&without, |sample| sample.rate), of(&with, |sample| sample.rate)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_becomes_slower_moves_neither_the_ratio_nor_the_control() {
        let mut slowness = 1.0;
        let paired = measure(8, &mut |agent| {
            slowness *= 1.01;
            Ok(Sample { cost: slowness * if agent { 1200.0 } else { 1000.0 }, rate: 1.0 / slowness })
        });
        let paired = paired.unwrap();
        let near = |value: f64, wanted: f64| (value - wanted).abs() < 0.001;
        assert!(near(paired.ratio.median, 1.2) && near(paired.control.median, 1.0), "{paired:?}");
        assert_eq!(paired.pairs, 16);
    }

    #[test]
    fn quartiles_are_interpolated() {
        assert_eq!(Spread::of([4.0, 1.0, 3.0, 2.0]), Spread { low: 1.75, median: 2.5, high: 3.25 });
        assert_eq!(Spread::of([7.0]), Spread { low: 7.0, median: 7.0, high: 7.0 });
    }
}
