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

/// A file that is being written beside the place where it will be; gone when it is dropped before its end.
pub struct Draft {
    inner: Written,
}

enum Written {
    Beside(std::io::BufWriter<tempfile::NamedTempFile>, std::path::PathBuf),
    /// Devices and named pipes are not replaced.
    Through(std::io::BufWriter<std::fs::File>),
}

impl Draft {
    /// For the file at `path`, or where a link there leads.
    ///
    /// # Errors
    /// When nothing can be written beside it.
    pub fn of(path: &Path) -> Result<Draft> {
        use std::os::unix::fs::PermissionsExt;
        let writing = || format!("writing `{}`", path.display());
        let target = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        if target.exists() && !target.is_file() {
            let file = std::fs::OpenOptions::new().write(true).open(&target).with_context(writing)?;
            return Ok(Draft { inner: Written::Through(std::io::BufWriter::new(file)) });
        }
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let permissions =
            std::fs::metadata(&target).map_or_else(|_| std::fs::Permissions::from_mode(0o666), |old| old.permissions());
        let file =
            tempfile::Builder::new().prefix(".fractal-").permissions(permissions).tempfile_in(folder).with_context(writing)?;
        Ok(Draft { inner: Written::Beside(std::io::BufWriter::with_capacity(1 << 16, file), target) })
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// When it cannot be written to the end; what was there before is still there then.
    pub fn finish(self) -> Result<()> {
        match self.inner {
            Written::Beside(file, target) => {
                let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
                file.as_file().sync_all()?;
                file.persist(&target).with_context(|| format!("writing `{}`", target.display()))?;
            }
            Written::Through(mut file) => file.flush()?,
        }
        Ok(())
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &mut self.inner {
            Written::Beside(file, _) => file.write(bytes),
            Written::Through(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match &mut self.inner {
            Written::Beside(file, _) => file.flush(),
            Written::Through(file) => file.flush(),
        }
    }
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

/// Every environment variable with its value, as bytes.
pub fn environment() -> Vec<(Vec<u8>, Vec<u8>)> {
    use std::os::unix::ffi::OsStringExt;
    std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())).collect()
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

/// Whether standard output is a pipe whose reader has gone.
pub fn nobody_reads_stdout() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdout = std::io::stdout();
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut watched, Some(&at_once)).is_ok_and(|ready| ready > 0) && watched[0].revents().contains(PollFlags::ERR)
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
