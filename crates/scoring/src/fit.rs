//! Learning the weights: logistic regression on standardised features.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};

use crate::model::Weight;

/// The weight of the penalty on the squared coefficients, beside the sum of log losses.
pub(crate) const ALPHA: f64 = 1.0;
const ITERATIONS: u64 = 500;

/// Base and weights that make the examples most likely, or why they cannot be found.
pub(crate) fn fit(
    names: &[String],
    values: &[f64],
    came_true: &[bool],
) -> Result<(f64, Vec<Weight>), String> {
    let width = names.len();
    let (means, deviations) = moments(values, width);
    let standard = values.iter().enumerate().map(|(at, value)| {
        let column = at % width;
        (value - means[column]) / deviations[column]
    });
    let failed = |error: &dyn std::fmt::Display| format!("the fit failed: {error}");
    let records = Array2::from_shape_vec((came_true.len(), width), standard.collect());
    let records = records.map_err(|error| failed(&error))?;
    let targets: Array1<bool> = came_true.iter().copied().collect();
    let fitted = LogisticRegression::default()
        .alpha(ALPHA)
        .max_iterations(ITERATIONS)
        .gradient_tolerance(1e-6)
        .fit(&Dataset::new(records, targets))
        .map_err(|error| failed(&error))?;
    // linfa takes one of the two classes for the positive one, and says which.
    let sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
    let base = sign * fitted.intercept();
    let coefficients: Vec<f64> = fitted.params().iter().map(|one| sign * one).collect();
    if !base.is_finite() || coefficients.iter().any(|one| !one.is_finite()) {
        return Err("the fit found no finite weights".to_owned());
    }
    let weights = names.iter().enumerate().map(|(at, name)| Weight {
        feature: name.clone(),
        mean: means[at],
        deviation: deviations[at],
        coefficient: coefficients[at],
    });
    Ok((base, weights.collect()))
}

/// Mean and standard deviation of each column; a column that never varies has the deviation 1.
fn moments(values: &[f64], width: usize) -> (Vec<f64>, Vec<f64>) {
    let count = (values.len() / width).max(1) as f64;
    let (mut means, mut squares) = (vec![0.0; width], vec![0.0; width]);
    for (at, value) in values.iter().enumerate() {
        means[at % width] += value / count;
    }
    for (at, value) in values.iter().enumerate() {
        squares[at % width] += (value - means[at % width]).powi(2) / count;
    }
    let deviation = |square: f64| if square > 1e-18 { square.sqrt() } else { 1.0 };
    (means, squares.into_iter().map(deviation).collect())
}

#[cfg(test)]
mod tests {
    use super::{ALPHA, fit};
    use crate::model::probability;

    /// Numbers without a pattern, the same each time.
    fn numbers(count: usize) -> Vec<f64> {
        let mut state = 42_u64;
        let next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            ((state >> 33) as f64) / f64::from(1_u32 << 31)
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    #[test]
    fn gradient_is_zero_at_the_fit() {
        let (rows, width) = (2_000, 3);
        let values = numbers(rows * width);
        let draws = numbers(rows * (width + 1)).split_off(rows * width);
        let truth: Vec<bool> = (0..rows)
            .map(|row| {
                let x = &values[row * width..][..width];
                draws[row] < probability(-1.0 + 3.0 * x[0] - 2.0 * x[1])
            })
            .collect();
        let names = ["a", "b", "c"].map(str::to_owned);
        let (base, weights) = fit(&names, &values, &truth).unwrap();
        // The derivative of the penalised loss, by hand.
        let mut gradient = vec![0.0; width + 1];
        for row in 0..rows {
            let standard: Vec<f64> = (0..width)
                .map(|at| (values[row * width + at] - weights[at].mean) / weights[at].deviation)
                .collect();
            let score = base
                + (0..width)
                    .map(|at| weights[at].coefficient * standard[at])
                    .sum::<f64>();
            let miss = probability(score) - if truth[row] { 1.0 } else { 0.0 };
            gradient[width] += miss;
            (0..width).for_each(|at| gradient[at] += miss * standard[at]);
        }
        (0..width).for_each(|at| gradient[at] += ALPHA * weights[at].coefficient);
        assert!(
            gradient.iter().all(|slope| slope.abs() < 0.05),
            "{gradient:?}"
        );
        assert!(
            weights[0].coefficient > 0.5 && weights[1].coefficient < -0.3,
            "{weights:?}"
        );
        let again = fit(&names, &values, &truth).unwrap();
        assert_eq!(again, (base, weights));
    }
}
