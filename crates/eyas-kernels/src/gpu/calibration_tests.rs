use std::{cell::Cell, time::Instant};

use eyas_core::TuningSource;
use pollster::block_on;

use super::*;

fn outcome(reduce_lanes: u32, value: f32, rounds_ms: [f64; 2]) -> (Tuning, Outcome) {
    let outcome = Outcome { candidate: Candidate(Vec::new()), values: vec![value.to_bits()], count: 1, rounds_ms };
    (Tuning { reduce_lanes, ..Tuning::SOFTWARE }, outcome)
}

#[test]
fn what_most_compute_is_right_and_the_clearly_faster_is_taken() {
    let one = |reduce_lanes, value, ms| outcome(reduce_lanes, value, [ms; 2]);
    let lanes = |outcomes: &[(Tuning, Outcome)]| chosen(outcomes).map(|(index, _)| outcomes[index].0.reduce_lanes);
    assert_eq!(lanes(&[]), None);
    assert_eq!(lanes(&[one(4, 1.0, 2.0), one(16, 1.0, 1.9), one(32, 1.0, 1.0)]), Some(32));
    assert_eq!(lanes(&[one(4, 1.0, 2.0), one(16, 1.0, 9.0), one(32, 1.0, 1.95)]), Some(4));
    // The first and fastest is the one that is wrong.
    assert_eq!(lanes(&[one(4, 7.0, 1.0), one(16, 1.0, 3.0), one(32, 1.00001, 2.0)]), Some(32));
    assert_eq!(lanes(&[one(4, f32::NAN, 1.0), one(16, 1.0, 3.0)]), Some(16));
    // Nobody knows which of two is right.
    assert_eq!(lanes(&[one(4, 7.0, 3.0), one(16, 1.0, 2.9)]), Some(4));
}

#[test]
fn a_choice_is_clear_where_both_rounds_tell_the_same() {
    let found = |rounds_ms: &[[f64; 2]]| {
        let outcomes: Vec<_> = rounds_ms.iter().zip([4, 16, 32]).map(|(ms, lanes)| outcome(lanes, 1.0, *ms)).collect();
        chosen(&outcomes).unwrap()
    };
    assert_eq!(found(&[[10.0, 30.0]]), (0, true));
    assert_eq!(found(&[[10.0, 11.0], [20.0, 19.0], [9.5, 10.5]]), (0, true));
    assert_eq!(found(&[[10.0, 11.0], [20.0, 19.0], [6.0, 6.5]]), (2, true));
    // All of them took longer in the second round.
    assert_eq!(found(&[[10.0, 21.0], [5.0, 11.0]]), (1, true));
    // What was chosen for its better round was much slower than another in the worse one.
    assert_eq!(found(&[[10.0, 10.5], [8.0, 16.0]]), (1, false));
    // The first stays, but another was clearly faster while something else took the machine's time.
    assert_eq!(found(&[[10.0, 40.0], [9.8, 10.0]]), (0, false));
    // What computes other values is no doubt.
    let wrong = [outcome(4, 1.0, [10.0, 11.0]), outcome(16, 1.0, [12.0, 12.0]), outcome(32, 7.0, [1.0, 1.0])];
    assert_eq!(chosen(&wrong), Some((0, true)));
}

#[test]
fn results_that_differ_by_more_than_rounding_are_told_apart() {
    let words = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert!(is_same(&words(&[1.0, -3.0]), &words(&[1.0001, -3.0])));
    assert!(!is_same(&words(&[1.0, -3.0]), &words(&[1.01, -3.0])));
    assert!(!is_same(&words(&[1.0]), &words(&[f32::NAN])));
    assert!(!is_same(&words(&[f32::NAN]), &words(&[1.0])));
    assert!(!is_same(&words(&[1.0]), &words(&[1.0, 2.0])));
}

#[test]
fn a_calibration_measures_what_the_adapter_computes() {
    let Ok(device) = block_on(KernelDevice::gpu()) else { return println!("skipped: there is no GPU adapter") };
    let start = Instant::now();
    let (device, is_clear) = block_on(device.calibrated(&|| start.elapsed().as_secs_f64() * 1000.0)).unwrap();
    let report = device.report().tuning.unwrap();
    println!("{:?} (clear: {is_clear}) after {:?} on {}", report.sizes, start.elapsed(), device.report().name);
    report.sizes.validate().unwrap();
    assert_eq!((report.source, report.sizes), (TuningSource::Measured, device.tuning()));
}

#[test]
fn positions_are_shared_out_only_where_workgroups_are_to_spare() {
    let Ok(device) = block_on(KernelDevice::gpu()) else { return println!("skipped: there is no GPU adapter") };
    let context = device.gpu_context().unwrap();
    let spec = AttentionSpec::new(8, 2, HEAD_DIM, POSITIONS);
    let operation = Operation::attention(context, spec, CROWD as usize);
    let launch = Launch::new(attention(spec, 1, Tuning::SOFTWARE), &[0, 1, 2, 3, 4]);
    let found = |one_ms: f64, crowd_ms: [f64; 2]| {
        // Two runs of nothing, the first of the kernel, one that counts, and two of the crowd.
        let runs_ms = [1.0, 1.0, 99.0, 1.0 + one_ms, 1.0 + crowd_ms[0], 1.0 + crowd_ms[1]];
        let clock = scripted(&runs_ms);
        let trials = block_on(Trials::new(&device, context, &clock, &operation)).unwrap();
        let one = block_on(trials.measured(&operation, std::slice::from_ref(&launch), f64::INFINITY)).unwrap();
        assert_eq!(one.as_ref().map(Outcome::least_ms), Some(one_ms));
        (block_on(trials.has_workgroups_to_spare(&operation, one)).unwrap(), trials.is_clear.get())
    };
    assert_eq!(found(30.0, [30.0; 2]), (true, true));
    assert_eq!(found(30.0, [119.0; 2]), (true, true));
    assert_eq!(found(30.0, [121.0; 2]), (false, true));
    assert_eq!(found(30.0, [240.0; 2]), (false, true));
    assert_eq!(found(30.0, [240.0, 110.0]), (true, false));
}

/// A clock by which the runs of a calibration take so long; those after them, 31 ms.
fn scripted(runs_ms: &[f64]) -> impl Fn() -> f64 {
    let (calls, now) = (Cell::new(0_usize), Cell::new(0.0));
    move || {
        if calls.get() % 2 == 1 {
            now.set(now.get() + runs_ms.get(calls.get() / 2).copied().unwrap_or(31.0));
        }
        calls.set(calls.get() + 1);
        now.get()
    }
}

#[test]
fn the_fastest_is_taken_where_it_is_clearly_faster() {
    let Ok(device) = block_on(KernelDevice::gpu()) else { return println!("skipped: there is no GPU adapter") };
    let device = device.with_tuning(Tuning::SOFTWARE, TuningSource::Assumed);
    let tuned = |runs_ms: &[f64]| block_on(fastest(&device, &scripted(runs_ms))).unwrap();
    // All the same.
    assert_eq!(tuned(&[1.0, 1.0]), (Tuning::SOFTWARE, true));
    // Two empty runs; then each candidate's first run, and one that counts; then each a second time. The third takes half as long.
    assert_eq!(Tuning::SOFTWARE.with_matvec(Tuning::MATVEC[0]), Tuning::SOFTWARE);
    let rounds = |first_round: [f64; 3], second_round: [f64; 3]| {
        let others = |run_ms: &'static [f64]| Tuning::MATVEC[3..].iter().flat_map(|_| run_ms.iter().copied());
        let counted = first_round.into_iter().flat_map(|ms| [99.0, ms]);
        let runs = [1.0, 1.0].into_iter().chain(counted).chain(others(&[99.0, 31.0]));
        runs.chain(second_round).chain(others(&[31.0])).collect::<Vec<f64>>()
    };
    let third = Tuning::SOFTWARE.with_matvec(Tuning::MATVEC[2]);
    assert_eq!(tuned(&rounds([31.0, 31.0, 16.0], [31.0, 31.0, 15.0])), (third, true));
    // The second time only that one was slow.
    assert_eq!(tuned(&rounds([31.0, 31.0, 16.0], [31.0, 31.0, 51.0])), (third, false));
    // A twentieth faster is noise.
    assert_eq!(tuned(&rounds([31.0, 29.5, 31.0], [31.0, 29.5, 31.0])), (Tuning::SOFTWARE, true));
    // The second is hopeless after one run that counts, and no larger one is tried: the next runs are the second round, then those of another operation.
    let hopeless = [1.0, 1.0, 99.0, 31.0, 99.0, 95.0, 31.0, 95.0, 99.0, 31.0, 99.0, 16.0];
    assert_eq!(tuned(&hopeless), (Tuning::SOFTWARE.with_matmul(Tuning::MATMUL[0]), true));
}
