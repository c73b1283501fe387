//! Connections side by side: tried where a download takes long, kept where they make it faster, and as good as one wherever it is cut off.

use std::rc::Rc;

use eyas_core::Result;
use eyas_store::{Expectations, OpenModel, Ports, Store, Which};

use crate::simulation::{CHUNK, Cut, Device, Line, MODEL, Random, Remote, TurnsClock, cut_error, load};

pub const NAME: &str = "w.bin";
/// The most bytes of a piece of a body.
const PIECE: u64 = 32;

pub struct World {
    pub device: Rc<Device>,
    pub line: Rc<Line>,
}

impl World {
    pub fn new(seed: u64, size: u64, change: impl FnOnce(&mut Line)) -> Self {
        let mut line = Line::new(seed, Remote::plain(Random(seed).bytes(size)));
        change(&mut line);
        Self { device: Rc::new(Device::new(seed)), line: Rc::new(line) }
    }

    pub fn store(&self) -> Store {
        Store::new(self.device.clone(), Rc::new(TurnsClock(self.line.time.clone()))).with_chunk_bytes(CHUNK)
    }

    pub fn ports(&self) -> Ports {
        Ports { network: self.line.clone(), clock: Rc::new(TurnsClock(self.line.time.clone())) }
    }

    pub async fn open(&self, expectations: Expectations) -> Result<OpenModel> {
        self.store().open(MODEL, Which::Current, true, self.ports(), expectations).await
    }

    /// Loads the file, and returns it.
    pub fn load(&self, expectations: Expectations, random: &mut Random) -> Result<Vec<u8>> {
        let seen = self.line.time.run(async { load(&self.open(expectations).await?, &[NAME.to_owned()], random).await })?;
        Ok(seen.into_iter().next().flatten().expect("the file is there"))
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.line.remote.borrow().bytes.clone()
    }

    /// The files of parts that have bytes.
    pub fn parts(&self) -> Vec<(String, String, usize)> {
        let is_part = |name: &str| name.split('-').count() == 3;
        self.device.listing().into_iter().filter(|(_, name, size)| is_part(name) && *size > 0).collect()
    }

    fn ms(&self) -> f64 {
        use eyas_store::Clock as _;
        TurnsClock(self.line.time.clone()).now_ms()
    }
}

/// As on a device that is to save data: one connection.
pub fn alone() -> Expectations {
    Expectations { unasked_bytes: Some(u64::MAX), ..Expectations::default() }
}

/// Milliseconds that a download of 50,000 bytes takes with one connection, and with those that the store opens; and the most that it opened.
fn compare(change: impl Fn(&mut Line)) -> (f64, f64, usize) {
    let mut took = [0.0; 2];
    let mut most = 0;
    for (ms, expectations) in took.iter_mut().zip([alone(), Expectations::default()]) {
        let world = World::new(7, 50_000, &change);
        assert_eq!(world.load(expectations, &mut Random(7)).unwrap(), world.bytes());
        *ms = world.ms();
        most = world.line.most_open.get();
        assert_eq!(world.line.served_bytes.get(), 50_000, "every byte came once");
        assert_eq!(world.device.listing().len(), 4, "{:?}", world.device.listing());
    }
    (took[0], took[1], most)
}

#[test]
fn where_each_connection_has_a_limit_three_are_faster() {
    for latency_ms in [0, 100] {
        let (alone, beside, most) = compare(|line| line.latency_ms = latency_ms);
        assert_eq!(most, 3);
        assert!(beside < alone * 0.5, "{beside} ms beside {alone} ms, {latency_ms} ms of latency");
        println!("latency {latency_ms} ms: {:.1} s alone, {:.1} s with three", alone / 1_000.0, beside / 1_000.0);
    }
}

#[test]
fn where_the_line_is_the_limit_a_second_connection_is_closed_again() {
    let (alone, beside, most) = compare(|line| (line.own_rate, line.shared_rate) = (1 << 30, 512));
    assert_eq!(most, 2);
    assert!(beside < alone * 1.02, "{beside} ms beside {alone} ms");
}

#[test]
fn a_second_connection_is_not_tried_in_vain() {
    let is_alone = |world: &World, expectations| {
        assert_eq!(world.load(expectations, &mut Random(3)).unwrap(), world.bytes());
        let requests = world.line.ranges.borrow().iter().filter(|range| range.is_some()).count();
        assert_eq!((world.line.most_open.get(), requests), (1, 0), "{:?}", world.line.ranges.borrow());
    };
    is_alone(&World::new(1, 50_000, |line| line.own_rate = 1 << 20), Expectations::default()); // it ends soon
    is_alone(&World::new(1, 500, |line| line.own_rate = 10), Expectations::default()); // there is no part behind the first
    is_alone(&World::new(1, 50_000, |_| ()), alone());
    for etag in [None, Some("W/\"1\"".to_owned())] {
        is_alone(&World::new(1, 50_000, |line| line.remote.borrow_mut().etag = etag), Expectations::default());
    }
    // Nothing is kept.
    let world = World::new(1, 50_000, |_| ());
    let passing = OpenModel::passing(world.ports(), Expectations::default());
    let seen = world.line.time.run(async { load(&passing, &[NAME.to_owned()], &mut Random(1)).await }).unwrap();
    assert_eq!(seen, [Some(world.bytes())]);
    assert_eq!(world.line.most_open.get(), 1);
    // A server without ranges refuses the first one, and is not asked again.
    let world = World::new(1, 50_000, |line| line.remote.borrow_mut().has_ranges = false);
    assert_eq!(world.load(Expectations::default(), &mut Random(3)).unwrap(), world.bytes());
    assert_eq!(world.line.ranges.borrow().len(), 2);
    assert_eq!(world.line.served_bytes.get(), 50_000);
}

#[test]
fn a_header_whose_end_was_not_known_costs_no_second_request() {
    let world = World::new(5, 50_000, |_| ());
    let bytes = world.bytes();
    let passing = OpenModel::passing(world.ports(), Expectations::default());
    world.line.time.run(async {
        let reader = passing.open(NAME, &format!("{MODEL}{NAME}"), true).await.unwrap().unwrap();
        // The header ends at 2,500, which shows in the second read. The tensors behind it are read in order, with a gap.
        for (from, to) in [(0, 1_000), (1_000, 4_000), (2_500, 3_000), (3_000, 9_000), (9_100, 9_100), (9_100, 50_000)] {
            assert_eq!(reader.read(from, (to - from) as usize).await.unwrap(), bytes[from as usize..to as usize], "{from}..{to}");
        }
        assert_eq!(world.line.ranges.borrow().len(), 1);
        // What the tensors had is not held, and is asked for again.
        assert_eq!(reader.read(2_500, 100).await.unwrap(), bytes[2_500..2_600]);
        assert_eq!(world.line.ranges.borrow().len(), 2);
    });
}

/// What may come twice where a tab is killed: of the connection at hand what came in a tenth of a second; of two others a small chunk each; a piece of
/// each that was on its way.
const TWICE: u64 = 512 / 10 + 2 * (CHUNK as u64 / 8) + 3 * PIECE;

#[test]
fn wherever_it_is_cut_off_the_next_load_goes_on() {
    let (mut cuts, mut side_by_side, mut lost) = (0, 0, 0);
    for run in 0..1_500 {
        let mut random = Random(run ^ 0xa4ead);
        let size = random.below(16_000);
        let world = World::new(run, size, |line| {
            line.breaks = [0, 0, 200, 40][random.below(4) as usize];
            line.latency_ms = random.below(200);
        });
        let cut = if random.chance(2) { Cut::Kill } else { Cut::Power };
        let mut kills = 0;
        let seen = loop {
            world.device.cut_after(Some(random.below(1_200)).filter(|_| kills < 4));
            match world.load(Expectations::default(), &mut random) {
                Ok(seen) => break seen,
                Err(error) => assert!(cut_error(&error) || error.kind().retryable(), "run {run}: {error}"),
            }
            world.device.restart(cut);
            kills += 1;
            cuts += 1;
        };
        assert_eq!(seen, world.bytes(), "run {run}");
        side_by_side += usize::from(world.line.most_open.get() > 1);
        if cut == Cut::Kill {
            let twice = world.line.served_bytes.get() - size;
            assert!(twice <= kills * TWICE, "run {run}: {twice} bytes came twice in {kills} kills");
            lost += twice;
        }
        // It is there for good, and nothing lies about.
        world.device.restart(Cut::Power);
        let requests = world.line.ranges.borrow().len();
        assert_eq!(world.load(Expectations::default(), &mut random).unwrap(), world.bytes(), "run {run}");
        assert_eq!(world.line.ranges.borrow().len(), requests, "run {run}");
        assert_eq!(world.device.listing().len(), 4, "run {run}: {:?}", world.device.listing());
    }
    assert!(cuts > 2_000 && side_by_side > 400 && lost > 0, "{cuts} cuts, {side_by_side} runs side by side, {lost} bytes twice");
    println!("{cuts} cuts, {side_by_side} of 1500 runs side by side, {lost} bytes came twice");
}

/// A world whose load was cut off while parts lay ahead, and how many their files are.
pub fn cut_off(run: u64) -> (World, Random, Vec<(String, String, usize)>) {
    for changes in (800..).step_by(7) {
        let mut random = Random(run);
        let world = World::new(run, 20_000, |_| ());
        world.device.cut_after(Some(changes));
        world.load(Expectations::default(), &mut random).unwrap_err();
        world.device.restart(Cut::Kill);
        let parts = world.parts();
        if parts.len() >= 2 {
            return (world, random, parts);
        }
    }
    unreachable!("some changes are those of a part")
}

#[test]
fn damage_of_what_lay_ahead_is_found() {
    for run in 0..200 {
        let (world, mut random, parts) = cut_off(run);
        for _ in 0..=random.below(3) {
            let (folder, name, size) = &parts[random.below(parts.len() as u64) as usize];
            world.device.flip(folder, name, random.below(*size as u64 * 8));
        }
        assert_eq!(world.load(Expectations::default(), &mut random).unwrap(), world.bytes(), "run {run}");
        assert_eq!(world.device.listing().len(), 4, "run {run}");
    }
}

#[test]
fn what_lay_ahead_of_another_version_is_not_used() {
    for run in 0..200 {
        let (world, mut random, _) = cut_off(run);
        world.line.remote.replace(Remote::plain(random.bytes(20_000)));
        assert_eq!(world.load(Expectations::default(), &mut random).unwrap(), world.bytes(), "run {run}");
        assert_eq!(world.device.listing().len(), 4, "run {run}");
    }
}

#[test]
fn a_device_that_saves_data_uses_what_lies_ahead_and_fetches_no_more() {
    let (world, mut random, parts) = cut_off(5);
    let (before, requests) = (world.line.served_bytes.get(), world.line.ranges.borrow().len());
    assert_eq!(world.load(alone(), &mut random).unwrap(), world.bytes());
    assert!(world.line.served_bytes.get() <= 20_000 + TWICE, "{before} bytes had come, {parts:?} lay ahead");
    let ranges = world.line.ranges.borrow();
    assert!(ranges[requests..].iter().flatten().count() <= 1 + parts.len(), "{ranges:?}");
}

#[test]
fn a_full_device_gives_up_what_lies_ahead_first() {
    for run in 0..200 {
        let mut random = Random(run);
        let world = World::new(run, 20_000, |_| ());
        // Room for the file with its digests (half as much, in chunks so small) and its records, and for little or nothing ahead of it.
        world.device.set_quota(Some(20_000 + 10_000 + 1_200 + random.below(1_500)));
        world.device.hide_quota();
        assert_eq!(world.load(Expectations::default(), &mut random).unwrap(), world.bytes(), "run {run}");
        assert_eq!(world.device.listing().len(), 4, "run {run}");
    }
}
