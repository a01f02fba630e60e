//! Whole directories: what is below them, making that durable, and putting one in another's place.

use std::path::{Path, PathBuf};

use super::super::disk::{Disk, parent_of};
use super::FILES_MAX;
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

/// Puts the directory `new` in the place of `target`, durably. A crash in between is undone or completed by
/// [`recover_replaced`]. Nobody may use `target` meanwhile.
///
/// # Errors
/// As the disk says.
pub fn replace_directory(disk: &dyn Disk, new: &Path, target: &Path) -> Result<(), VectorsError> {
    let old = replaced(target);
    disk.remove_directory(&old)?;
    if disk.list(target)?.is_some() {
        disk.rename(target, &old)?;
    }
    disk.rename(new, target)?;
    disk.sync_directory(parent_of(target))?;
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
        let path = parent.join(&entry.name);
        if name.ends_with(".partial") {
            disk.remove_directory(&path)?;
        } else if let Some(name) = name.strip_suffix(".replaced") {
            let target = parent.join(name);
            if disk.list(&target)?.is_some() {
                disk.remove_directory(&path)?;
            } else {
                disk.rename(&path, &target)?;
                disk.sync_directory(parent)?;
            }
        }
    }
    Ok(())
}
