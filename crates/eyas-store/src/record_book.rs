//! A model's record on the device. Two files take turns, so that a writing that is cut short leaves the record before it.

use std::rc::Rc;

use eyas_core::Result;

use crate::{FileSystem, ModelRecord};

const NAMES: [&str; 2] = ["record-0", "record-1"];

/// How often both records are read where neither is whole: another tab may be writing, and these are read without its lock, too.
const READINGS: u32 = 3;

/// The newest record of a folder that is whole; none where there is none.
pub(crate) async fn read_record(files: &dyn FileSystem, folder: &str) -> Result<Option<ModelRecord>> {
    for _ in 0..READINGS {
        let mut newest: Option<ModelRecord> = None;
        let mut is_there = false;
        for name in NAMES {
            let Some(bytes) = files.load(folder, name).await? else { continue };
            is_there = true;
            // A damaged record is as good as none: the other one is older by one writing.
            let Ok(record) = ModelRecord::parse(&bytes) else { continue };
            if newest.as_ref().is_none_or(|newest| newest.sequence < record.sequence) {
                newest = Some(record);
            }
        }
        if newest.is_some() || !is_there {
            return Ok(newest);
        }
    }
    Ok(None)
}

/// Writes a record in the place of the older one of the two.
pub(crate) async fn write_record(files: &dyn FileSystem, folder: &str, record: &mut ModelRecord) -> Result<()> {
    record.sequence += 1;
    let bytes = record.encode()?;
    files.save(folder, NAMES[(record.sequence % 2) as usize], &bytes).await
}

/// Removes a model: its records first, so that nothing half removed is taken for a model.
pub(crate) async fn remove_model(files: &Rc<dyn FileSystem>, folder: &str) -> Result<()> {
    for name in NAMES {
        files.remove(folder, Some(name)).await?;
    }
    files.remove(folder, None).await
}
