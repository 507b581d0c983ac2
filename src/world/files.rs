//! Small things the command line needs of the machine: files it writes for people, the environment, the terminal.

use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result};

/// Writes a file that must not exist yet, with its folders.
///
/// # Errors
/// When it exists, or cannot be written.
pub fn write_new(path: &Path, content: &[u8], executable: bool) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let mode = if executable { 0o755 } else { 0o644 };
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .with_context(|| format!("writing `{}`", path.display()))?;
    Ok(file.write_all(content)?)
}

/// Writes a file over an earlier one.
///
/// # Errors
/// When it cannot be written.
pub fn overwrite(path: &Path, content: &[u8], executable: bool) -> Result<()> {
    if path.exists() {
        std::fs::remove_file(path)?;
    }
    write_new(path, content, executable)
}

/// Reads a whole file.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("reading `{}`", path.display()))
}

/// An environment variable that is set, not empty, and UTF-8.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The folder we were started in.
///
/// # Errors
/// When it is gone.
pub fn current_dir() -> Result<std::path::PathBuf> {
    std::env::current_dir().context("the working directory is gone")
}

/// Whether standard output is a terminal that may get colours and progress bars.
pub fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Whether standard error is a terminal.
pub fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Columns of the terminal behind standard output; `None` when it is none.
pub fn terminal_columns() -> Option<u16> {
    rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| size.ws_col)
}

/// The program's own file.
///
/// # Errors
/// When the system does not tell.
pub fn own_executable() -> Result<std::path::PathBuf> {
    std::env::current_exe().context("finding our own program")
}

/// Makes a folder in the system's temporary folder that stays.
///
/// # Errors
/// When it cannot be made.
pub fn lasting_temporary_folder(prefix: &str) -> Result<std::path::PathBuf> {
    Ok(tempfile::Builder::new().prefix(prefix).tempdir().context("making a temporary folder")?.keep())
}

/// Makes a folder with its parents; one that exists is fine.
///
/// # Errors
/// When it cannot be made.
pub fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("making `{}`", path.display()))
}

/// Whether a folder holds anything.
pub fn is_full(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}

/// Whether a program can be found through `PATH`.
pub fn has_program(name: &str) -> bool {
    if name.contains('/') {
        return Path::new(name).is_file();
    }
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}

/// Random bits for an identity, of the operating system (where a UUID of version 4 has its fixed ones, an identity has its own).
pub fn random() -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes.copy_from_slice(&uuid::Uuid::new_v4().as_bytes()[6..]);
    bytes
}
