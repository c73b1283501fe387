//! Models as one file: what comes in is what went out, or nothing.

use eyas_core::{ErrorKind, Result};
use eyas_store::{Digest, Imported, Which};
use eyas_weights::MemoryReader;
use pollster::block_on;

use crate::simulation::{Cut, MODEL, Random, World, cut_error, load};

/// A world with a stored model, and what it holds.
fn stored(seed: u64) -> (World, Vec<String>, Vec<Option<Vec<u8>>>) {
    let world = World::new(seed);
    let mut random = Random(seed);
    let mut names = vec!["absent.json".to_owned()];
    for number in 0..3 {
        let size = random.below(300);
        let bytes = random.bytes(size);
        names.push(format!("{number}.bin"));
        world.publish(&format!("{number}.bin"), &bytes);
    }
    let seen = visit(&world, &names).unwrap();
    (world, names, seen)
}

fn visit(world: &World, names: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
    block_on(async { load(&world.open(MODEL, Which::Current).await?, names, &mut Random(1)).await })
}

fn export(world: &World) -> Result<Vec<u8>> {
    block_on(async {
        let mut export = world.store().export(MODEL).await?;
        let mut archive = Vec::new();
        while let Some(bytes) = export.next().await? {
            archive.extend(bytes);
        }
        assert_eq!(export.total_bytes(), archive.len() as u64);
        Ok(archive)
    })
}

fn import(world: &World, archive: &[u8]) -> Result<Imported> {
    block_on(world.store().import(&MemoryReader::new("m.eyas", archive.to_vec()), None, false, &|_| {}))
}

#[test]
fn what_comes_in_is_what_went_out() {
    for seed in 0..200 {
        let (world, names, seen) = stored(seed);
        let archive = export(&world).unwrap();
        let other = World::new(seed);
        other.internet.is_down.set(true);
        let imported = import(&other, &archive).unwrap();
        assert_eq!(imported.id, MODEL);
        let listed = &block_on(other.store().list()).unwrap()[0];
        assert_eq!((listed.version.as_ref(), listed.complete), (Some(&imported.version), true));
        assert_eq!(visit(&other, &names).unwrap(), seen);
        assert_eq!(export(&other).unwrap(), archive, "and it goes out again");
        // Once more it is here already; another version of it is not taken for it.
        assert_eq!(import(&other, &archive).unwrap(), imported);
        let (another, ..) = stored(seed + 1_000);
        assert_eq!(import(&another, &archive).unwrap_err().kind(), ErrorKind::BadInput);
    }
}

#[test]
fn an_archive_that_was_damaged_or_cut_off_leaves_nothing() {
    let (world, ..) = stored(1);
    let archive = export(&world).unwrap();
    for length in 0..archive.len() {
        let other = World::new(1);
        let error = import(&other, &archive[..length]).unwrap_err();
        assert!([ErrorKind::BadInput, ErrorKind::Integrity].contains(&error.kind()), "{length}: {error}");
        assert_eq!(other.device.listing(), []);
    }
    for at in 0..archive.len() {
        let mut damaged = archive.clone();
        damaged[at] ^= 1 << (at % 8);
        let other = World::new(1);
        // A digit of the header's own sha256 in upper case is the same digit.
        let line = archive.iter().position(|byte| *byte == b'\n').unwrap();
        let is_same = ("eyas-model 1 ".len()..line).contains(&at) && damaged[at].eq_ignore_ascii_case(&archive[at]);
        assert_eq!(import(&other, &damaged).is_err(), !is_same, "byte {at}");
        assert_eq!(other.device.listing().is_empty(), !is_same, "byte {at}");
    }
}

fn archive_of(header: &str, body: &[u8]) -> Vec<u8> {
    let mut archive = format!("eyas-model 1 {} {}\n{header}", header.len(), Digest::of(header.as_bytes())).into_bytes();
    archive.extend(body);
    archive
}

#[test]
fn hostile_archives_are_refused() {
    let sum = Digest::of(b"x");
    let file =
        |name: &str, bytes: &str| format!(r#"{{"name":"{name}","url":"https://m.test/","bytes":{bytes},"sha256":"{sum}"}}"#);
    let header = |files: &str| format!(r#"{{"id":"https://m.test/","files":[{files}]}}"#);
    assert!(import(&World::new(2), &archive_of(&header(&file("a", "1")), b"x")).is_ok());
    let cases = [
        archive_of(&header(&file("../a", "1")), b"x"),
        archive_of(&header(&file("/a", "1")), b"x"),
        archive_of(&header(&format!("{},{}", file("a", "1"), file("a", "1"))), b"xx"),
        archive_of(&header(&file("a", "18446744073709551615")), b"x"),
        archive_of(&header(&format!("{},{}", file("a", "18446744073709551615"), file("b", "2"))), b"x"),
        archive_of(&header(&file("a", "-1")), b"x"),
        archive_of(&header(&file("a", "2")), b"x"),
        archive_of(&header(&file("a", "1")), b"xx"),
        archive_of(&header(""), b""),
        archive_of("[]", b""),
        archive_of(&"[".repeat(100_000), b""),
        b"eyas-model 1 99999999999999999999 00\n".to_vec(),
        format!("eyas-model 1 5000000 {sum}\n").into_bytes(),
        vec![b'\n'; 500],
        b"GGUF".to_vec(),
        Vec::new(),
    ];
    for (number, archive) in cases.iter().enumerate() {
        let world = World::new(2);
        let error = import(&world, archive).unwrap_err();
        assert!([ErrorKind::BadInput, ErrorKind::BadModel].contains(&error.kind()), "{number}: {error}");
        assert_eq!(world.device.listing(), [], "{number}");
    }
    let wanted = block_on(World::new(2).store().import(
        &MemoryReader::new("m", archive_of(&header(&file("a", "1")), b"x")),
        Some("https://bank.test/"),
        false,
        &|_| {},
    ));
    assert_eq!(wanted.unwrap_err().kind(), ErrorKind::BadInput);
}

#[test]
fn an_import_that_is_cut_counts_for_nothing_and_can_be_done_again() {
    let (world, names, seen) = stored(3);
    let archive = export(&world).unwrap();
    let mut cut_short = 0;
    for run in 0..1_500 {
        let mut random = Random(run);
        let other = World::new(run);
        other.internet.is_down.set(true);
        other.device.cut_after(Some(random.below(50)));
        let first = import(&other, &archive);
        assert!(first.as_ref().err().is_none_or(cut_error), "{first:?}");
        other.device.restart(if random.chance(2) { Cut::Kill } else { Cut::Power });
        let listed = block_on(other.store().list()).unwrap();
        assert!(listed.iter().all(|model| model.complete), "run {run}: a half is listed");
        cut_short += u64::from(listed.is_empty());
        import(&other, &archive).unwrap();
        assert_eq!(visit(&other, &names).unwrap(), seen, "run {run}");
    }
    assert!(cut_short > 300, "{cut_short}");
}

#[test]
fn damage_in_the_store_is_found_on_the_way_out() {
    let (world, ..) = stored(4);
    let (folder, name, size) =
        world.device.listing().into_iter().find(|(_, name, size)| name.ends_with("-data") && *size > 0).unwrap();
    world.device.flip(&folder, &name, size as u64 * 4);
    assert_eq!(export(&world).unwrap_err().kind(), ErrorKind::Integrity);
    assert_eq!(export(&World::new(4)).unwrap_err().kind(), ErrorKind::ModelNotFound);
    let full = World::new(4);
    full.device.set_quota(Some(100));
    let archive = export(&stored(5).0).unwrap();
    assert_eq!(import(&full, &archive).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(full.device.listing(), []);
}
