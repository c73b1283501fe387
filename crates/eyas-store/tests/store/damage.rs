//! Single bits that turn over in the store: no load ever hands out a wrong byte, and what is repaired is only what was damaged.

use eyas_core::ErrorKind;
use eyas_store::Which;
use pollster::block_on;

use crate::simulation::{CHUNK, Cut, MODEL, Random, World, cut_error, load};

#[test]
fn every_flipped_bit_is_found_and_mended() {
    let (mut found, mut mended) = (0, 0);
    for run in 0..1_000 {
        let mut random = Random(run);
        let world = World::new(run);
        let size = 100 + random.below(900);
        let bytes = random.bytes(size);
        world.publish("w.bin", &bytes);
        let files = ["w.bin".to_owned()];
        let mut attempt = || block_on(async { load(&world.open(MODEL, Which::Current).await?, &files, &mut random).await });
        attempt().unwrap();
        let listing = world.device.listing();
        let (folder, name, length) = &listing[(run % listing.len() as u64) as usize];
        let bit = Random(run ^ 0xb17).below(*length as u64 * 8);
        world.device.flip(folder, name, bit);

        world.internet.is_down.set(true);
        match attempt() {
            // A damaged record has an older one beside it, and damaged digests can be made anew.
            Ok(seen) => {
                assert_eq!(seen, [Some(bytes.clone())], "run {run}");
                assert!(!name.ends_with("-data"), "run {run}: a damaged byte was not noticed");
            }
            Err(error) => {
                assert!([ErrorKind::Integrity, ErrorKind::DownloadFailed].contains(&error.kind()), "run {run}: {error}");
                found += 1;
            }
        }
        world.internet.is_down.set(false);
        let before = world.internet.served_bytes.get();
        assert_eq!(attempt().unwrap(), [Some(bytes)], "run {run}");
        let fetched = world.internet.served_bytes.get() - before;
        if name.ends_with("-data") {
            assert!(fetched <= u64::from(CHUNK), "run {run}: {fetched} bytes");
            mended += 1;
        }
    }
    assert!(found > 200 && mended > 200, "{found} found, {mended} mended");
}

/// A download that was cut off, and whose bytes, digests or marks were damaged before the next visit.
#[test]
fn a_flipped_bit_in_a_part_is_never_gone_on_with() {
    let (mut cuts, mut flips) = (0, 0);
    for run in 0..3_000 {
        let mut random = Random(run);
        let world = World::new(run);
        world.internet.piece_ms.set(100.0);
        let size = 100 + random.below(300);
        let bytes = random.bytes(size);
        world.publish("w.bin", &bytes);
        let files = ["w.bin".to_owned()];
        for _ in 0..2 {
            world.device.cut_after(Some(4 + random.below(40)));
            match block_on(async { load(&world.open(MODEL, Which::Current).await?, &files, &mut random).await }) {
                Ok(seen) => assert_eq!(seen, [Some(bytes.clone())], "run {run}"),
                Err(error) => {
                    assert!(cut_error(&error), "run {run}: {error}");
                    cuts += 1;
                }
            }
            world.device.restart(Cut::Kill);
            let listing = world.device.listing();
            let damaged = listing.iter().filter(|(_, name, length)| !name.starts_with("record") && *length > 0);
            let damaged: Vec<_> = damaged.collect();
            if let Some((folder, name, length)) = damaged.get(random.below(damaged.len() as u64) as usize) {
                // Mostly near the end, where the chunk at hand is.
                let bits = *length as u64 * 8;
                let from_end = if random.chance(3) { bits } else { bits.min(400) };
                let bit = bits - 1 - random.below(from_end);
                world.device.flip(folder, name, bit);
                flips += 1;
            }
        }
        let seen = block_on(async { load(&world.open(MODEL, Which::Current).await?, &files, &mut random).await }).unwrap();
        assert_eq!(seen, [Some(bytes)], "run {run}");
    }
    assert!(cuts > 3_000 && flips > 4_000, "{cuts} cuts, {flips} flips: the simulation is too kind");
}
