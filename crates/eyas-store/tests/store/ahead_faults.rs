//! What goes wrong with connections side by side: refusals, breaks and stalls of one of them, and parts that are no use any more.

use std::rc::Rc;

use eyas_core::ErrorKind;
use eyas_store::{Expectations, Which};

use crate::{
    ahead::{NAME, World, alone, cut_off},
    simulation::{CHUNK, Cut, Fault, MODEL, Random, Remote},
};

/// Bytes of a part.
const PART: u64 = 8 * CHUNK as u64;

fn world(change: impl FnOnce(&mut crate::simulation::Line)) -> World {
    World::new(11, 50_000, change)
}

/// A server that refuses every request of a while, from the twentieth on: one that counts them, or whose way to the file was not open in time.
fn refuses_for(status: u16, wait: Option<u64>, seconds: u64) -> World {
    let since = Rc::new(std::cell::Cell::new(None));
    world(|line| {
        *line.refuses.get_mut() = Box::new(move |number, ms| {
            if number < 20 {
                return None;
            }
            let began = since.get().unwrap_or(ms);
            since.set(Some(began));
            (ms < began + seconds * 1_000).then_some((status, wait))
        });
    })
}

#[test]
fn a_refusal_while_others_were_open_is_waited_for_and_ends_them() {
    for (status, wait, seconds) in [(401, None, 1), (403, None, 2), (429, None, 2), (429, Some(20), 20), (503, Some(20), 20)] {
        let world = refuses_for(status, wait, seconds);
        assert_eq!(world.load(Expectations::default(), &mut Random(3)).unwrap(), world.bytes(), "{status}");
        assert_eq!(world.line.most_open.get(), 3, "{status}: others were open");
        let ranges = world.line.ranges.borrow();
        if status < 500 {
            assert_eq!(ranges.last().unwrap().as_ref().map(|range| range.ends_with('-')), Some(true), "{ranges:?}");
            assert!(ranges.len() < 35, "{status}: one request is enough for all that is behind the parts: {ranges:?}");
        }
    }
}

#[test]
fn an_address_that_expires_ends_a_load_whose_next_visit_goes_on() {
    let world = refuses_for(403, None, 1 << 40);
    let error = world.load(Expectations::default(), &mut Random(3)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DownloadFailed);
    assert!(error.detail().contains("403"), "{error}");
    *world.line.refuses.borrow_mut() = Box::new(|_, _| None);
    world.device.restart(Cut::Kill);
    assert_eq!(world.load(Expectations::default(), &mut Random(4)).unwrap(), world.bytes());
    let twice = world.line.served_bytes.get() - 50_000;
    assert!(twice <= 3 * u64::from(CHUNK), "{twice} bytes came twice");
}

#[test]
fn one_that_breaks_leaves_the_others_and_is_tried_again() {
    let world = world(|line| _ = line.faults.get_mut().insert(4, (100, Fault::Breaks)));
    assert_eq!(world.load(Expectations::default(), &mut Random(3)).unwrap(), world.bytes());
    let opened = world.line.opened.borrow();
    assert!(opened[5..].iter().filter(|open| **open == 3).count() > 10, "{opened:?}");
}

#[test]
fn what_came_before_a_stall_is_read_at_once() {
    // The first connection beside the reader's own stalls in the middle of its part.
    let world = world(|line| _ = line.faults.get_mut().insert(1, (300, Fault::Stalls)));
    let clock = world.ports().clock;
    let (mut from, mut seen_ms) = (None, Vec::new());
    world.line.time.run(async {
        let model = world.open(Expectations::default()).await.unwrap();
        let file = model.open(NAME, &format!("{MODEL}{NAME}"), true).await.unwrap().unwrap();
        for at in (0..20_000).step_by(32) {
            file.read(at, 32).await.unwrap();
            from = from.or_else(|| {
                let range = world.line.ranges.borrow().get(1)?.clone()?;
                range.trim_start_matches("bytes=").split('-').next()?.parse::<u64>().ok()
            });
            seen_ms.push((at, clock.now_ms()));
        }
    });
    let from = from.expect("another connection was tried");
    let came = |until: u64| seen_ms.iter().find(|(at, _)| at + 32 >= until).unwrap().1;
    assert!(came(from + 256) - came(from) < 1_000.0, "{} ms", came(from + 256) - came(from));
    assert!(came(from + PART) - came(from + 256) > 10_000.0, "it did stall");
}

#[test]
fn a_part_that_the_device_does_not_read_is_fetched() {
    for run in 0..20 {
        let (world, mut random, parts) = cut_off(run);
        let (_, name, _) = &parts[random.below(parts.len() as u64) as usize];
        world.device.break_reads(name);
        assert_eq!(world.load(Expectations::default(), &mut random).unwrap(), world.bytes(), "run {run}");
    }
}

/// A world in which all bytes are there, and the last ones only in parts; and the names of the parts' files with bytes.
fn all_in_parts(run: u64) -> (World, Random, Vec<(String, String, usize)>) {
    for changes in (1_000..).step_by(3) {
        let (world, random) = (World::new(run, 16_000, |_| ()), Random(run));
        world.device.cut_after(Some(changes));
        world.load(Expectations::default(), &mut Random(run)).expect_err("some cut leaves the last bytes in parts");
        world.device.restart(Cut::Kill);
        let parts = world.parts();
        let requests = world.line.ranges.borrow().len();
        let ends = parts.iter().any(|(_, name, size)| {
            let from = name.rsplit('-').next().unwrap().parse::<u64>().unwrap();
            name.contains("data") && from + *size as u64 == 16_000
        });
        if !ends {
            continue;
        }
        let opened = world.line.time.run(async {
            let model = world.open(Expectations::default()).await?;
            model.open(NAME, &format!("{MODEL}{NAME}"), true).await.map(|file| file.is_some())
        });
        opened.unwrap();
        if world.line.ranges.borrow()[requests..] == [None] {
            return (world, random, parts);
        }
    }
    unreachable!("a cut comes in every download")
}

#[test]
fn where_all_was_in_parts_no_other_version_mends_them() {
    let (world, _, parts) = all_in_parts(2);
    let (folder, name, _) = parts.iter().rfind(|(_, name, _)| name.contains("data")).unwrap().clone();
    let other = Random(99).bytes(16_000);
    let requests = world.line.ranges.borrow().len();
    let outcome = world.line.time.run(async {
        let model = world.open(Expectations::default()).await?;
        let file = model.open(NAME, &format!("{MODEL}{NAME}"), true).await?.unwrap();
        // While the load is under way, a bit turns over, and the server gets another file.
        world.device.flip(&folder, &name, 8);
        world.line.remote.replace(Remote::plain(other));
        file.read(0, 16_000).await
    });
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DownloadFailed);
    assert!(error.detail().contains("changed on the server"), "{error}");
    assert!(world.line.if_ranges.borrow()[requests + 1..].iter().all(Option::is_some), "{:?}", world.line.if_ranges.borrow());
}

#[test]
fn bytes_of_an_earlier_visit_s_parts_are_counted_as_stored() {
    for run in 0..20 {
        let (world, _, parts) = cut_off(run);
        let before = world.line.served_bytes.get();
        let (fetched, stored, listed) = world.line.time.run(async {
            let listed = world.store().list().await.unwrap()[0].bytes;
            let model = world.open(alone()).await.unwrap();
            model.open(NAME, &format!("{MODEL}{NAME}"), true).await.unwrap();
            model.finish().await.unwrap();
            (model.meter().fetched_bytes(), model.meter().stored_bytes(), listed)
        });
        assert_eq!(fetched, world.line.served_bytes.get() - before, "run {run}");
        assert_eq!(fetched + stored, 20_000, "run {run}: {parts:?}");
        assert!(listed >= stored && parts.len() >= 2, "run {run}: {listed} bytes are listed, {stored} were used");
    }
}

#[test]
fn a_device_that_saves_data_may_fetch_what_lies_in_no_part() {
    for run in 0..20 {
        let ((world, mut random, _), (copy, ..)) = (cut_off(run), cut_off(run));
        // What the same visit fetches without any limit.
        let before = copy.line.served_bytes.get();
        copy.load(alone(), &mut Random(run)).unwrap();
        let missing = copy.line.served_bytes.get() - before;
        let limited = |bytes| Expectations { unasked_bytes: Some(bytes), ..Expectations::default() };
        assert_eq!(world.load(limited(missing - 1), &mut random).unwrap_err().kind(), ErrorKind::OverBudget, "run {run}");
        assert_eq!(world.load(limited(missing), &mut random).unwrap(), world.bytes(), "run {run}");
    }
}

#[test]
fn the_room_for_what_lies_in_parts_is_made_before_it_is_copied() {
    let (world, _, parts) = all_in_parts(3);
    let in_parts = parts.iter().filter(|(_, name, _)| name.contains("data")).map(|(.., size)| *size as u64).sum::<u64>();
    // Another model that may go.
    let other = "https://models.test/other/";
    world.line.time.run(async {
        let model = world.store().open(other, Which::Current, true, world.ports(), Expectations::default()).await.unwrap();
        model.open(NAME, &format!("{other}{NAME}"), true).await.unwrap();
        model.finish().await.unwrap();
    });
    let used = world.device.listing().iter().map(|(.., size)| *size as u64).sum::<u64>();
    // Less than what is to be copied takes.
    world.device.set_quota(Some(used + in_parts / 2));
    let models = world.line.time.run(async {
        let model = world.open(alone()).await.unwrap();
        model.open(NAME, &format!("{MODEL}{NAME}"), true).await.unwrap();
        drop(model);
        world.store().list().await.unwrap().into_iter().map(|model| model.id).collect::<Vec<_>>()
    });
    assert_eq!(models, [MODEL]);
}
