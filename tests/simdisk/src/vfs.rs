//! The VFS through which SQLite uses a disk. It answers as SQLite's own VFS for Unix would, down to
//! a file of no bytes that does not exist, a directory synced with a new journal's first sync, and
//! an error of that which nobody hears of.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Arc, Mutex, Once};

use rusqlite::ffi;

use crate::locks;
use crate::shm::Shm;
use crate::state::{Handle, State};
use crate::{VFS, find, lock};

const PATH_MAX: c_int = 512;
const ENOSPC: i32 = 28;

/// What SQLite has for each of its files: its own head, then our part.
#[repr(C)]
struct VfsFile {
    base: ffi::sqlite3_file,
    open: *mut Open,
}

struct Open {
    handle: Handle,
    state: Arc<Mutex<State>>,
    shm: Option<Arc<Shm>>,
    /// The first sync of a journal makes its name durable.
    sync_directory: bool,
    delete_on_close: bool,
    name: String,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock_file),
    xUnlock: Some(unlock_file),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Makes the VFS known to SQLite, once in a process.
pub(crate) fn register() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        let name = Box::leak(format!("{VFS}\0").into_boxed_str());
        let vfs = ffi::sqlite3_vfs {
            iVersion: 1,
            szOsFile: c_int::try_from(size_of::<VfsFile>()).expect("a small struct"),
            mxPathname: PATH_MAX,
            pNext: std::ptr::null_mut(),
            zName: name.as_ptr().cast(),
            pAppData: std::ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: None,
            xCurrentTimeInt64: None,
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        };
        // SAFETY: the struct and its name live for ever, and it is not the default VFS.
        let code = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 0) };
        assert_eq!(code, ffi::SQLITE_OK, "SQLite takes the VFS");
    });
}

fn code(result: std::io::Result<()>, error: c_int) -> c_int {
    match result {
        Ok(()) => ffi::SQLITE_OK,
        Err(why) if why.raw_os_error() == Some(ENOSPC) => ffi::SQLITE_FULL,
        Err(_) => error,
    }
}

/// # Safety
/// `file` is one that [`open`] filled in and [`close`] has not seen, used by one thread at a time.
unsafe fn ours<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Open {
    // SAFETY: as the caller promises.
    unsafe { &mut *(*file.cast::<VfsFile>()).open }
}

/// # Safety
/// `path` is a C string that outlives the result.
unsafe fn text<'a>(path: *const c_char) -> &'a str {
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(path) }.to_str().unwrap_or_default()
}

unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives `szOsFile` bytes to fill in.
    let file = unsafe { &mut *file.cast::<VfsFile>() };
    file.base.pMethods = std::ptr::null();
    let found = if path.is_null() {
        Some((Arc::new(Mutex::new(State::new(0))), ""))
    } else {
        // SAFETY: SQLite's paths are C strings that live until the file is closed.
        find(unsafe { text(path) })
    };
    let Some((state, name)) = found else {
        return ffi::SQLITE_CANTOPEN;
    };
    let mut disk = lock(&state);
    let create = flags & ffi::SQLITE_OPEN_CREATE != 0;
    let Ok(handle) = disk.open(name, create) else {
        return ffi::SQLITE_CANTOPEN;
    };
    drop(disk);
    let journal =
        ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL;
    file.open = Box::into_raw(Box::new(Open {
        handle,
        name: name.to_owned(),
        shm: None,
        sync_directory: create && flags & journal != 0,
        delete_on_close: flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0,
        state,
    }));
    file.base.pMethods = &raw const METHODS;
    if !out_flags.is_null() {
        // SAFETY: not null, and SQLite's.
        unsafe { *out_flags = flags };
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes a file once; `open` made the box.
    let open = unsafe { Box::from_raw((*file.cast::<VfsFile>()).open) };
    let mut disk = lock(&open.state);
    disk.close(&open.handle);
    if open.delete_on_close {
        // Who cannot remove a temporary file leaves it.
        let _ = disk.remove(&open.name);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    into: *mut c_void,
    count: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite passes an open file and a buffer of `count` bytes.
    let (open, into) = unsafe {
        let count = usize::try_from(count).unwrap_or(0);
        (
            ours(file),
            std::slice::from_raw_parts_mut(into.cast::<u8>(), count),
        )
    };
    match lock(&open.state).read(&open.handle, into, offset.cast_unsigned()) {
        Ok(count) if count == into.len() => ffi::SQLITE_OK,
        Ok(count) => {
            into[count..].fill(0);
            ffi::SQLITE_IOERR_SHORT_READ
        }
        Err(_) => ffi::SQLITE_IOERR_READ,
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    count: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite passes an open file and `count` bytes.
    let (open, from) = unsafe {
        let count = usize::try_from(count).unwrap_or(0);
        (
            ours(file),
            std::slice::from_raw_parts(from.cast::<u8>(), count),
        )
    };
    let written = lock(&open.state).write(&open.handle, from, offset.cast_unsigned());
    code(written, ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite passes an open file.
    let open = unsafe { ours(file) };
    let done = lock(&open.state).resize(&open.handle, size.cast_unsigned());
    code(done, ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: SQLite passes an open file.
    let open = unsafe { ours(file) };
    let mut disk = lock(&open.state);
    if disk.sync(&mut open.handle).is_err() {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    if std::mem::take(&mut open.sync_directory) {
        // SQLite's own VFS does not look at the result either.
        let _ = disk.sync_directory();
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_size(
    file: *mut ffi::sqlite3_file,
    size: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite passes an open file.
    let open = unsafe { ours(file) };
    match lock(&open.state).size(&open.handle) {
        Ok(found) => {
            // SAFETY: SQLite passes a place for the answer.
            unsafe { *size = found.cast_signed() };
            ffi::SQLITE_OK
        }
        Err(_) => ffi::SQLITE_IOERR_FSTAT,
    }
}

unsafe extern "C" fn lock_file(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite passes an open file.
    let open = unsafe { ours(file) };
    let mut disk = lock(&open.state);
    let granted = disk
        .locks(&open.handle)
        .map(|locks| locks.raise(open.handle.id, level));
    match granted {
        Ok(true) => ffi::SQLITE_OK,
        Ok(false) => ffi::SQLITE_BUSY,
        Err(_) => ffi::SQLITE_IOERR_LOCK,
    }
}

unsafe extern "C" fn unlock_file(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite passes an open file.
    let open = unsafe { ours(file) };
    if let Ok(locks) = lock(&open.state).locks(&open.handle) {
        locks.lower(open.handle.id, level);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: SQLite passes an open file.
    let open = unsafe { ours(file) };
    match lock(&open.state).locks(&open.handle) {
        Ok(locks) => {
            // SAFETY: SQLite passes a place for the answer.
            unsafe { *out = c_int::from(locks.reserved()) };
            ffi::SQLITE_OK
        }
        Err(_) => ffi::SQLITE_IOERR_CHECKRESERVEDLOCK,
    }
}

unsafe extern "C" fn file_control(
    _file: *mut ffi::sqlite3_file,
    _op: c_int,
    _arg: *mut c_void,
) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_file: *mut ffi::sqlite3_file) -> c_int {
    4096
}

unsafe extern "C" fn characteristics(_file: *mut ffi::sqlite3_file) -> c_int {
    // A torn write harms no byte outside of it: what SQLite assumes of Unix too.
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: SQLite passes an open file.
    let open = unsafe { ours(file) };
    assert_eq!(
        usize::try_from(size),
        Ok(crate::shm::REGION),
        "SQLite's regions have one size"
    );
    if open.shm.is_none() {
        let shm = lock(&open.state).shm(&open.handle);
        open.shm = shm.ok();
    }
    let Some(shm) = &open.shm else {
        return ffi::SQLITE_IOERR_SHMMAP;
    };
    let address = shm.region(usize::try_from(region).unwrap_or(0), extend != 0);
    // SAFETY: SQLite passes a place for the answer; `open.shm` keeps the region until unmapped.
    unsafe { *out = address };
    ffi::SQLITE_OK
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    offset: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: SQLite passes an open file.
    let open = unsafe { ours(file) };
    let Some(shm) = &open.shm else {
        return ffi::SQLITE_IOERR_SHMLOCK;
    };
    let place = |n: c_int| usize::try_from(n).unwrap_or(0);
    let run = place(offset)..place(offset + count);
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        shm.give_back(open.handle.id, run);
        return ffi::SQLITE_OK;
    }
    if lock(&open.state).locks(&open.handle).is_err() {
        return ffi::SQLITE_IOERR_SHMLOCK;
    }
    if shm.take(open.handle.id, run, flags & ffi::SQLITE_SHM_EXCLUSIVE != 0) {
        ffi::SQLITE_OK
    } else {
        ffi::SQLITE_BUSY
    }
}

unsafe extern "C" fn shm_barrier(_file: *mut ffi::sqlite3_file) {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _delete: c_int) -> c_int {
    // SAFETY: SQLite passes an open file, and uses no region of it any more.
    let open = unsafe { ours(file) };
    if let Some(shm) = open.shm.take() {
        shm.give_all_back(open.handle.id);
        drop(shm);
        lock(&open.state).tidy_shm(&open.handle);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(
    _vfs: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    sync: c_int,
) -> c_int {
    // SAFETY: SQLite passes a C string.
    let Some((state, name)) = find(unsafe { text(path) }) else {
        return ffi::SQLITE_IOERR_DELETE;
    };
    let mut disk = lock(&state);
    match disk.remove(name) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            ffi::SQLITE_IOERR_DELETE_NOENT
        }
        Err(_) => ffi::SQLITE_IOERR_DELETE,
        Ok(()) if sync & 1 != 0 => code(disk.sync_directory(), ffi::SQLITE_IOERR_DIR_FSYNC),
        Ok(()) => ffi::SQLITE_OK,
    }
}

unsafe extern "C" fn access(
    _vfs: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes a C string.
    let Some((state, name)) = find(unsafe { text(path) }) else {
        return ffi::SQLITE_IOERR_ACCESS;
    };
    let disk = lock(&state);
    if disk.down {
        return ffi::SQLITE_IOERR_ACCESS;
    }
    let filled = disk
        .contents(name)
        .is_some_and(|content| !content.is_empty());
    let yes = if flags == ffi::SQLITE_ACCESS_EXISTS {
        filled
    } else {
        disk.exists(name)
    };
    // SAFETY: SQLite passes a place for the answer.
    unsafe { *out = c_int::from(yes) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _vfs: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    size: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite passes a C string, and room for `size` bytes.
    unsafe {
        let path = CStr::from_ptr(path).to_bytes_with_nul();
        if path.len() > usize::try_from(size).unwrap_or(0) {
            return ffi::SQLITE_CANTOPEN;
        }
        std::ptr::copy_nonoverlapping(path.as_ptr().cast(), out, path.len());
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn randomness(
    _vfs: *mut ffi::sqlite3_vfs,
    count: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite passes room for `count` bytes. It asks its default VFS, not this one.
    unsafe { std::ptr::write_bytes(out, 7, usize::try_from(count).unwrap_or(0)) };
    count
}

unsafe extern "C" fn sleep(_vfs: *mut ffi::sqlite3_vfs, micros: c_int) -> c_int {
    // Whoever holds the lock may be another thread; time itself does not matter here.
    std::thread::yield_now();
    micros
}

unsafe extern "C" fn current_time(_vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: SQLite passes a place for the answer.
    unsafe { *out = 2_460_676.5 };
    ffi::SQLITE_OK
}

const _: () = assert!(locks::SHARED == ffi::SQLITE_LOCK_SHARED);
