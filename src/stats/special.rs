//! Special functions, from tiny to huge arguments without cancelling.

/// ½·ln 2π.
const LN_SQRT_2PI: f64 = 0.918_938_533_204_672_8;

/// From here on the seven terms of `stirling_correction` are exact to the last digit (the first one left out is 3e-17).
const STIRLING_FROM: f64 = 10.0;

/// Lanczos' g and coefficients for g = 7, n = 9 (P. Godfrey, "A note on the computation of the convergent Lanczos complex gamma
/// approximation", 2001): relative error of Γ about 1e-15.
const LANCZOS_G: f64 = 7.0;
const LANCZOS_FIRST: f64 = 0.999_999_999_999_809_9;
const LANCZOS: [f64; 8] = [
    676.520_368_121_885_1,
    -1_259.139_216_722_402_8,
    771.323_428_777_653_1,
    -176.615_029_162_140_6,
    12.507_343_278_686_905,
    -0.138_571_095_265_720_12,
    9.984_369_578_019_572e-6,
    1.505_632_735_149_311_6e-7,
];

/// Natural logarithm of Γ(x) for x > 0; infinite at 0, not a number below.
///
/// Lanczos' approximation below 10 (with lnΓ(x) = lnΓ(x+1) − ln x under ½), Stirling's series above: (x−½)·ln x − x + ½·ln 2π +
/// correction (Abramowitz & Stegun 6.1.40). The error is below 1e-12 relative, except next to the zeros at 1 and 2, where it is
/// below 1e-14 absolute.
pub fn ln_gamma(x: f64) -> f64 {
    if x < 0.0 {
        f64::NAN
    } else if x < 0.5 {
        lanczos(x + 1.0) - x.ln()
    } else if x < STIRLING_FROM {
        lanczos(x)
    } else {
        (x - 0.5) * x.ln() - x + LN_SQRT_2PI + stirling_correction(x)
    }
}

/// lnΓ(x) for x ≥ ½: ½·ln 2π + (x−½)·ln t − t + ln(c₀ + Σ cᵢ/(x−1+i)) with t = x + g − ½.
fn lanczos(x: f64) -> f64 {
    let series: f64 = LANCZOS.iter().zip(0u8..).map(|(c, i)| c / (x + f64::from(i))).sum();
    let t = x + LANCZOS_G - 0.5;
    LN_SQRT_2PI + (x - 0.5) * t.ln() - t + (LANCZOS_FIRST + series).ln()
}

/// lnΓ(x) less the leading terms of Stirling's series, for x ≥ 10: 1/12x − 1/360x³ + 1/1260x⁵ − … (Abramowitz & Stegun 6.1.41).
fn stirling_correction(x: f64) -> f64 {
    const TERMS: [f64; 7] =
        [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0, 1.0 / 156.0];
    let square = 1.0 / (x * x);
    TERMS.iter().rev().fold(0.0, |sum, term| sum * square + term) / x
}

/// Natural logarithm of the Beta function, ln Γ(a) + ln Γ(b) − ln Γ(a+b), for a, b > 0.
///
/// For large arguments the leading terms of Stirling's series are subtracted on paper, so that huge counts do not cancel: only
/// the corrections and logarithms of ratios remain (the cases of SLATEC's DLBETA by W. Fullerton, also in R's `lbeta`).
pub fn ln_beta(a: f64, b: f64) -> f64 {
    let (small, large) = if a <= b { (a, b) } else { (b, a) };
    let sum = small + large;
    if large < STIRLING_FROM {
        return ln_gamma(small) + ln_gamma(large) - ln_gamma(sum);
    }
    let correction = stirling_correction(large) - stirling_correction(sum);
    let rest = (-small / sum).ln_1p();
    if small < STIRLING_FROM {
        return ln_gamma(small) + correction + small - small * sum.ln() + (large - 0.5) * rest;
    }
    let correction = stirling_correction(small) + correction;
    (small - 0.5) * (small / sum).ln() + large * rest - 0.5 * large.ln() + LN_SQRT_2PI + correction
}

/// ln C(n, k) for k ≤ n, as −ln(n+1) − ln B(k+1, n−k+1).
pub fn ln_choose(n: u64, k: u64) -> f64 {
    -(n as f64 + 1.0).ln() - ln_beta(k as f64 + 1.0, (n - k) as f64 + 1.0)
}

/// Steps of the continued fraction of [`ln_beta_inc`] at most; it needs about √max(a, b).
const STEPS_MAX: u32 = 1_000_000;

/// Natural logarithm of the regularised incomplete beta function I_x(a, b), for a, b > 0: P(Y ≤ x) for Y from Beta(a, b).
///
/// The continued fraction of DLMF 8.17.22 by Lentz' modified method, on the side of the mean where it converges fast; on the other
/// side 1 − I_{1−x}(b, a). Relative error of I below 1e-11 for a + b up to 10⁴, growing to 1e-7 for 2·10⁹, also where I itself underflows.
pub fn ln_beta_inc(a: f64, b: f64, x: f64) -> f64 {
    ln_beta_inc_of(a, b, x, 1.0 - x)
}

/// The same with y = 1 − x, which keeps its digits where x is next to 1.
fn ln_beta_inc_of(a: f64, b: f64, x: f64, y: f64) -> f64 {
    if x <= 0.0 {
        f64::NEG_INFINITY
    } else if y <= 0.0 {
        0.0
    } else if x <= (a + 1.0) / (a + b + 2.0) {
        ln_lower(a, b, x, y)
    } else {
        (-ln_lower(b, a, y, x).exp()).ln_1p()
    }
}

/// ln I_x(a, b) below the mean, with y = 1 − x.
fn ln_lower(a: f64, b: f64, x: f64, y: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let floored = |value: f64| if value.abs() < TINY { TINY } else { value };
    let sum = a + b;
    let (mut c, mut d) = (1.0, 1.0 / floored(1.0 - sum * x / (a + 1.0)));
    let mut fraction = d;
    for step in 1..=STEPS_MAX {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / floored(1.0 + even * d);
        c = floored(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (sum + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / floored(1.0 + odd * d);
        c = floored(1.0 + odd / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    ln_power(a, b, x, y) - a.ln() + fraction.ln()
}

/// ln(x^a·y^b / B(a, b)) for x + y = 1.
///
/// For large a and b around the mean, where the parts are as large as a and b themselves, as the saddle-point expansion of
/// C. Loader, "Fast and accurate computation of binomial probabilities" (2000): the leading terms cancel on paper.
fn ln_power(a: f64, b: f64, x: f64, y: f64) -> f64 {
    if a.min(b) < STIRLING_FROM {
        let ln = |near: f64, rest: f64| if rest < 0.5 { (-rest).ln_1p() } else { near.ln() };
        return a * ln(x, y) + b * ln(y, x) - ln_beta(a, b);
    }
    let sum = a + b;
    // x·(a+b) − a, which is also b − y·(a+b).
    let apart = x * b - y * a;
    let deviance = a * (apart / a).ln_1p() + b * (-apart / b).ln_1p();
    let correction = stirling_correction(a) + stirling_correction(b) - stirling_correction(sum);
    deviance + 0.5 * (a.ln() + b.ln() - sum.ln()) - LN_SQRT_2PI - correction
}

/// ln P(X ≤ k) for X from the binomial distribution of n trials at `rate`: I_{1−rate}(n−k, k+1).
pub fn ln_at_most(k: u64, n: u64, rate: f64) -> f64 {
    if k >= n { 0.0 } else { ln_beta_inc_of((n - k) as f64, k as f64 + 1.0, 1.0 - rate, rate) }
}

/// ln P(X ≥ k) for X from the binomial distribution of n trials at `rate`: I_rate(k, n−k+1).
pub fn ln_at_least(k: u64, n: u64, rate: f64) -> f64 {
    match k {
        0 => 0.0,
        k if k > n => f64::NEG_INFINITY,
        k => ln_beta_inc(k as f64, (n - k) as f64 + 1.0, rate),
    }
}

/// P(Z ≥ z) for the standard normal distribution.
///
/// Up to 3 by the series ½ − φ(z)·(z + z³/3 + z⁵/15 + …) (G. Marsaglia, "Evaluating the normal distribution", 2004), beyond by
/// Laplace's continued fraction for Mills' ratio (Abramowitz & Stegun 26.2.14). Relative error below 1e-11 up to 37, then 0.
pub fn normal_above(z: f64) -> f64 {
    if z.is_nan() {
        return f64::NAN;
    }
    if z < -3.0 {
        return 1.0 - normal_above(-z);
    }
    let density = (-0.5 * z * z - LN_SQRT_2PI).exp();
    if z > 3.0 {
        let mills = (1..=200u32).rev().fold(z, |rest, k| z + f64::from(k) / rest);
        return density / mills;
    }
    let (mut term, mut sum, mut k) = (z, z, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        k += 2.0;
        term *= z * z / k;
        sum += term;
    }
    0.5 - density * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(got: f64, wanted: f64, relative: f64) {
        assert!((got - wanted).abs() <= relative * wanted.abs(), "got {got:e}, wanted {wanted:e}");
    }

    // Values of this and the next test: mpmath with 40 digits.
    #[test]
    fn ln_gamma_has_known_values() {
        let known = [
            (0.5, 0.572_364_942_924_700_1),
            (0.75, 0.203_280_951_431_295_37),
            (1.5, -0.120_782_237_635_245_22),
            (2.5, 0.284_682_870_472_919_2),
            (7.5, 7.534_364_236_758_733),
            (9.99, 12.779_315_214_350_193),
            (12.5, 18.734_347_511_936_446),
            (100.5, 361.435_540_467_777_6),
            (1e4, 82_099.717_496_442_38),
            (1e9, 19_723_265_827.503_716),
        ];
        known.iter().for_each(|&(x, wanted)| assert_close(ln_gamma(x), wanted, 1e-13));
        assert!(ln_gamma(1.0).abs() < 1e-14 && ln_gamma(2.0).abs() < 1e-14);
        assert!(ln_gamma(0.0).is_infinite() && ln_gamma(-1.5).is_nan());
    }

    #[test]
    fn ln_beta_has_known_values_and_ignores_the_order() {
        let known = [
            (0.001, 5.0, 6.905_672_657_062_075),
            (0.5, 0.5, 1.144_729_885_849_400_2),
            (1.5, 2.5, -1.627_858_836_390_381),
            (0.5, 1e9, -9.789_267_975_423_505),
            (3.5, 1e9, -71.330_456_831_340_36),
            (20.5, 1e6, -242.386_665_337_404_33),
            (50.5, 950.5, -201.051_142_959_027_14),
            (1e9, 1e9, -1_386_294_370.216_011_4),
        ];
        for (a, b, wanted) in known {
            assert_close(ln_beta(a, b), wanted, 1e-13);
            assert_eq!(ln_beta(a, b), ln_beta(b, a));
        }
    }

    // Values of this and the next test: exact sums of binomial terms in rational numbers; of the large ones, mpmath with 40 digits.
    #[test]
    fn binomial_tails_have_known_values() {
        assert_close(ln_at_most(3, 10, 0.3).exp(), 0.649_610_718_4, 1e-9);
        assert_close(ln_at_least(4, 10, 0.3).exp(), 1.0 - 0.649_610_718_4, 1e-9);
        assert_close(ln_at_most(0, 50, 0.1), 50.0 * 0.9f64.ln(), 1e-12);
        assert_close(ln_at_least(50, 50, 0.1), 50.0 * 0.1f64.ln(), 1e-12);
        assert_eq!(ln_at_most(5, 5, 0.2), 0.0);
        assert_eq!(ln_at_least(6, 5, 0.2), f64::NEG_INFINITY);
        assert_eq!((ln_at_most(3, 10, 0.0), ln_at_least(3, 10, 0.0)), (0.0, f64::NEG_INFINITY));
        assert_eq!((ln_at_most(3, 10, 1.0), ln_at_least(3, 10, 1.0)), (f64::NEG_INFINITY, 0.0));
    }

    #[test]
    fn the_two_tails_of_a_binomial_add_up_to_one_from_one_to_a_billion_trials() {
        for n in [1, 7, 100, 5_000, 1_000_000, 1_000_000_000u64] {
            for rate in [0.001, 0.3, 0.5, 0.95] {
                let mean = (n as f64 * rate) as u64;
                let spread = (n as f64 * rate * (1.0 - rate)).sqrt() as u64;
                for k in [mean.saturating_sub(3 * spread), mean, (mean + 2 * spread).min(n - 1)] {
                    let both = ln_at_most(k, n, rate).exp() + ln_at_least(k + 1, n, rate).exp();
                    assert!((both - 1.0).abs() < 1e-8, "{both} at {k} of {n} at {rate}");
                }
            }
        }
        // Far out the normal distribution is near: 6 standard deviations of a billion fair coins.
        let far = ln_at_least(500_000_000 + 94_868, 1_000_000_000, 0.5).exp();
        assert_close(far, normal_above((94_868.0 - 0.5) / (1e9f64.sqrt() / 2.0)), 1e-4);
    }

    #[test]
    fn the_incomplete_beta_function_is_the_sum_of_binomial_terms() {
        for (k, n, rate) in [(12u64, 40u64, 0.25), (3, 40, 0.25), (30, 31, 0.9), (90, 300, 0.35)] {
            let term = |i: u64| (ln_choose(n, i) + i as f64 * f64::ln(rate) + (n - i) as f64 * f64::ln_1p(-rate)).exp();
            assert_close(ln_at_most(k, n, rate).exp(), (0..=k).map(term).sum(), 1e-11);
            assert_close(ln_at_least(k, n, rate).exp(), (k..=n).map(term).sum(), 1e-11);
        }
    }

    #[test]
    fn the_normal_tail_has_known_values() {
        let known = [
            (0.0, 0.5),
            (1.0, 0.158_655_253_931_457_05),
            (1.959_963_984_540_054, 0.025),
            (3.0, 1.349_898_031_630_094_5e-3),
            (5.0, 2.866_515_718_791_939e-7),
            (10.0, 7.619_853_024_160_526e-24),
            (-1.0, 0.841_344_746_068_542_9),
            (-6.0, 0.999_999_999_013_412_3),
        ];
        known.iter().for_each(|&(z, wanted)| assert_close(normal_above(z), wanted, 1e-11));
        assert!(normal_above(f64::NAN).is_nan() && normal_above(50.0) == 0.0 && normal_above(f64::NEG_INFINITY) == 1.0);
    }
}
