//! Loads that are cut off at any change on the device, again and again: the next one goes on, and what it reads is what the server has.

use pollster::block_on;

use crate::simulation::{CHUNK, Cut, MODEL, Random, Remote, World, cut_error, load};
use eyas_store::{Expectations, Which};

const RUNS: u64 = 12_000;

fn remote(random: &mut Random, size: u64) -> Remote {
    let tells = random.below(4);
    Remote {
        bytes: random.bytes(size),
        etag: (tells & 1 == 1).then(|| format!("\"{}\"", random.below(1000))),
        last_modified: (tells & 2 == 2).then(|| "Sat, 21 Nov 2026 00:00:00 GMT".to_owned()),
        has_ranges: !random.chance(6),
        tells_length: true,
        shows_range: random.chance(2),
        honours_if_range: random.chance(2),
    }
}

#[test]
fn whatever_is_cut_the_next_load_goes_on() {
    let (mut cuts, mut resumed) = (0u64, 0u64);
    for run in 0..RUNS {
        let mut random = Random(run);
        let world = World::new(run);
        world.internet.piece_ms.set([0.0, 30.0, 100.0][random.below(3) as usize]);
        let mut files = Vec::new();
        let mut total = 0;
        let mut may_resume = true;
        for number in 0..=random.below(3) {
            let is_text = random.chance(4);
            let name = if is_text { format!("{number}.json") } else { format!("{number}.bin") };
            let size = [0, random.below(70), 64, 128, random.below(900)][random.below(5) as usize];
            let remote = remote(&mut random, size);
            may_resume &= remote.has_ranges && !is_text;
            total += size;
            world.internet.put(&format!("{MODEL}{name}"), remote);
            files.push(name);
        }
        let expected: Vec<Option<Vec<u8>>> =
            files.iter().map(|name| Some(world.internet.remotes.borrow()[&format!("{MODEL}{name}")].bytes.clone())).collect();
        files.push("not-there.json".to_owned());

        let cut = if random.chance(2) { Cut::Kill } else { Cut::Power };
        let kills = random.below(4);
        for _ in 0..kills {
            world.device.cut_after(Some(random.below(60)));
            let ended = block_on(async { load(&world.open(MODEL, Which::Current).await?, &files, &mut random).await });
            match ended {
                Ok(seen) => assert_eq!(seen[..expected.len()], expected, "run {run}"),
                Err(error) => {
                    assert!(cut_error(&error), "run {run}: {error}");
                    cuts += 1;
                }
            }
            world.device.restart(cut);
        }
        let before = world.internet.served_bytes.get();
        let seen = block_on(async { load(&world.open(MODEL, Which::Current).await?, &files, &mut random).await }).unwrap();
        assert_eq!(seen[..expected.len()], expected, "run {run}");
        assert_eq!(seen.last(), Some(&None), "run {run}");
        let served = world.internet.served_bytes.get();
        resumed += u64::from(before > 0 && served - before < total);
        if may_resume && cut == Cut::Kill {
            // The chunk at hand and the piece behind it; where the server tells no version, one more chunk of each file.
            let bound = total + kills * (u64::from(CHUNK) * (1 + expected.len() as u64) + 32);
            assert!(served <= bound, "run {run}: {served} bytes served for {total} after {kills} cuts");
        }

        // What a load finished is there for good: from now on nobody needs the network, and nothing lies about.
        world.device.restart(Cut::Power);
        world.internet.is_down.set(true);
        let requests = world.internet.requests.get();
        let seen = block_on(async { load(&world.open(MODEL, Which::Current).await?, &files, &mut random).await }).unwrap();
        assert_eq!(seen[..expected.len()], expected, "run {run}");
        assert_eq!(world.internet.requests.get(), requests, "run {run}");
        assert_eq!(world.device.listing().len(), 2 * expected.len() + 2, "run {run}: {:?}", world.device.listing());
    }
    assert!(cuts > RUNS / 2 && resumed > RUNS / 20, "{cuts} cuts, {resumed} resumed: the simulation is too kind");
    println!("{RUNS} runs, {cuts} cuts, {resumed} loads went on with what was there");
}

/// Where every piece takes as long as the store waits before it stores what came, a tab that is killed loses the piece at hand and the rest of the one
/// before it, whatever write it died in, and however large the chunks are.
#[test]
fn a_killed_tab_loses_the_piece_at_hand() {
    let (mut lost, mut all_kills) = (0, 0);
    for run in 0..3_000 {
        let mut random = Random(run);
        let world = World::new(run);
        world.internet.piece_ms.set(100.0);
        let size = random.below(3_000);
        let mut remote = remote(&mut random, size);
        (remote.has_ranges, remote.etag) = (true, Some("\"1\"".to_owned()));
        let bytes = remote.bytes.clone();
        world.internet.put(&format!("{MODEL}w.bin"), remote);
        let files = ["w.bin".to_owned()];
        let store = world.store().with_chunk_bytes(1_000);
        let mut kills = 0;
        loop {
            world.device.cut_after(Some(random.below(60)).filter(|_| kills < 6));
            let attempt = async {
                let model = store.open(MODEL, Which::Current, true, world.ports(), Expectations::default()).await?;
                load(&model, &files, &mut random).await
            };
            match block_on(attempt) {
                Ok(seen) => break assert_eq!(seen, [Some(bytes)], "run {run}"),
                Err(error) => assert!(cut_error(&error), "run {run}: {error}"),
            }
            world.device.restart(Cut::Kill);
            kills += 1;
        }
        let twice = world.internet.served_bytes.get() - size;
        assert!(twice <= kills * 64, "run {run}: {twice} bytes fetched twice in {kills} kills");
        (lost, all_kills) = (lost + twice, all_kills + kills);
    }
    assert!(lost > 0 && all_kills > 3_000, "{lost} bytes lost in {all_kills} kills: the simulation is too kind");
    println!("{all_kills} kills, {lost} bytes fetched twice");
}

#[test]
fn what_lay_in_a_slot_before_never_comes_back() {
    for run in 0..3_000 {
        let mut random = Random(run);
        let world = World::new(run);
        world.internet.piece_ms.set([0.0, 100.0][random.below(2) as usize]);
        let files = ["w.bin".to_owned()];
        let mut remote = Remote { has_ranges: true, ..remote(&mut random, 0) };
        for attempt in 0..4 {
            if attempt == 0 || random.chance(2) {
                // Another file, mostly of the same length.
                let size = if random.chance(4) { random.below(400) } else { 300 };
                remote.bytes = random.bytes(size);
                remote.etag = Some(format!("\"{attempt}\""));
                world.internet.put(&format!("{MODEL}w.bin"), remote.clone());
            }
            world.device.cut_after(Some(random.below(40)).filter(|_| attempt < 3));
            let ended = block_on(async { load(&world.open(MODEL, Which::Current).await?, &files, &mut random).await });
            match ended {
                Ok(seen) => {
                    assert_eq!(seen, [Some(remote.bytes.clone())], "run {run}");
                    break;
                }
                Err(error) => assert!(cut_error(&error), "run {run}: {error}"),
            }
            world.device.restart(Cut::Power);
            if block_on(world.store().list()).unwrap().iter().any(|model| model.complete) {
                break; // the cut came behind the last line of the record: the model stays what it is until it is updated
            }
        }
    }
}
