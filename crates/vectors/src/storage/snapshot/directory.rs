//! Whole directories: what is below them, making that durable, and putting one in another's place.

use std::path::{Path, PathBuf};

use super::super::disk::{Disk, parent_of};
use super::{FILES_MAX, SNAPSHOTS};
use crate::error::VectorsError;

/// Deepest nesting of directories that is looked at: a collection has two levels, one more for each vector's files.
const DEPTH_MAX: usize = 8;

/// The files below `root` as relative paths with `/`, sorted.
pub(super) fn files_below(disk: &dyn Disk, root: &Path) -> Result<Vec<String>, VectorsError> {
    let mut files = Vec::new();
    walk(disk, root, "", DEPTH_MAX, &mut |path, is_directory| {
        if !is_directory {
            files.push(path.to_owned());
        }
        if files.len() > FILES_MAX {
            return Err(VectorsError::Limit {
                what: "files of a snapshot",
                limit: FILES_MAX as u64,
                actual: files.len() as u64,
            });
        }
        Ok(())
    })?;
    files.sort_unstable();
    Ok(files)
}

/// Makes the names in `root` and in every directory below it durable.
pub(super) fn sync_below(disk: &dyn Disk, root: &Path) -> Result<(), VectorsError> {
    walk(disk, root, "", DEPTH_MAX, &mut |path, is_directory| {
        if is_directory {
            disk.sync_directory(&root.join(path))?;
        }
        Ok(())
    })?;
    disk.sync_directory(root)
}

fn walk(
    disk: &dyn Disk,
    root: &Path,
    below: &str,
    depth: usize,
    visit: &mut dyn FnMut(&str, bool) -> Result<(), VectorsError>,
) -> Result<(), VectorsError> {
    if depth == 0 {
        return Err(VectorsError::Limit {
            what: "nested directories of a snapshot",
            limit: DEPTH_MAX as u64,
            actual: DEPTH_MAX as u64 + 1,
        });
    }
    for entry in disk.list(&root.join(below))?.unwrap_or_default() {
        let path = if below.is_empty() {
            entry.name
        } else {
            format!("{below}/{}", entry.name)
        };
        if entry.is_directory {
            walk(disk, root, &path, depth - 1, visit)?;
        }
        visit(&path, entry.is_directory)?;
    }
    Ok(())
}

/// Where a directory is made before it is renamed to `target`.
pub(super) fn staging(target: &Path) -> PathBuf {
    beside(target, "partial")
}

/// Where the directory that stood at `target` waits while another takes its place.
fn replaced(target: &Path) -> PathBuf {
    beside(target, "replaced")
}

fn beside(target: &Path, suffix: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{suffix}"))
}

/// Puts the directory `new` of a collection in the place of `target`, durably; the snapshots of `target` stay. A crash in
/// between is undone or completed by [`recover_replaced`]. Nobody may use `target` meanwhile.
///
/// # Errors
/// As the disk says. `target` stands then, old or new.
pub fn replace_directory(disk: &dyn Disk, new: &Path, target: &Path) -> Result<(), VectorsError> {
    settle(disk, target)?;
    let parent = parent_of(target);
    let old = replaced(target);
    if disk.list(target)?.is_some() {
        disk.rename(target, &old)?;
        // Durable before its place is taken: otherwise a crash could keep the new name and lose the old directory.
        disk.sync_directory(parent)?;
    }
    if let Err(error) = disk.rename(new, target) {
        // The first failure is the one to tell.
        let _ = disk.rename(&old, target);
        return Err(error);
    }
    disk.sync_directory(parent)?;
    settle(disk, target)
}

/// Finishes a replacement of `target`, or undoes it when nothing took its place.
fn settle(disk: &dyn Disk, target: &Path) -> Result<(), VectorsError> {
    let old = replaced(target);
    if disk.list(&old)?.is_none() {
        return Ok(());
    }
    if disk.list(target)?.is_none() {
        disk.rename(&old, target)?;
        return disk.sync_directory(parent_of(target));
    }
    let (from, to) = (old.join(SNAPSHOTS), target.join(SNAPSHOTS));
    if let Some(entries) = disk.list(&from)? {
        disk.create_directory(&to)?;
        // Before anything moves there: a name in a directory without a durable name is lost with it.
        disk.sync_directory(target)?;
        for entry in entries.iter().filter(|entry| !entry.name.starts_with('.')) {
            let place = to.join(&entry.name);
            if disk.list(&place)?.is_none() {
                disk.rename(&from.join(&entry.name), &place)?;
            }
        }
        disk.sync_directory(&to)?;
    }
    disk.remove_directory(&old)
}

/// Finishes what a crash interrupted among the directories in `parent`: one that was moved out of the way comes back when
/// nothing took its place; what was being made, and what was replaced, is removed. Called before any of them is opened.
///
/// # Errors
/// As the disk says.
pub fn recover_replaced(disk: &dyn Disk, parent: &Path) -> Result<(), VectorsError> {
    for entry in disk.list(parent)?.unwrap_or_default() {
        let Some(name) = entry.name.strip_prefix('.').filter(|_| entry.is_directory) else {
            continue;
        };
        if name.ends_with(".partial") {
            disk.remove_directory(&parent.join(&entry.name))?;
        } else if let Some(name) = name.strip_suffix(".replaced") {
            settle(disk, &parent.join(name))?;
        }
    }
    Ok(())
}
