//! libFuzzer, from within a test: it keeps inputs that reach something new, and changes those.

use std::ffi::{CString, c_char, c_int};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::{env, fs, process, slice};

use crate::{MAX_BYTES, Target};

/// How long to search, in seconds.
const SECONDS: &str = "BASALT_FUZZ_SECONDS";
/// Where inputs are kept from one search to the next, and those that make a target panic.
pub(crate) const FOLDER: &str = "BASALT_FUZZ_FOLDER";

static TARGET: OnceLock<Target> = OnceLock::new();

// Its own entry, which `libfuzzer-sys` refers to; ours is the callback below.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(target) = TARGET.get() {
        target(bytes);
    }
});

/// Searches, and ends the process: libFuzzer does so by itself where it finds something.
pub(crate) fn search_if_asked_for(seeds: &[Vec<u8>], target: Target) {
    let (Ok(seconds), Some(folder)) = (env::var(SECONDS), env::var_os(FOLDER)) else { return };
    let folder = PathBuf::from(folder);
    TARGET.get_or_init(|| target);
    let corpus = folder.join("corpus");
    fs::create_dir_all(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    for (number, seed) in seeds.iter().enumerate() {
        let path = corpus.join(format!("seed-{number}"));
        fs::write(&path, seed).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let arguments = [
        "fuzz".to_owned(),
        format!("-max_total_time={seconds}"),
        format!("-max_len={MAX_BYTES}"),
        "-timeout=10".to_owned(),
        "-rss_limit_mb=2048".to_owned(),
        "-print_final_stats=1".to_owned(),
        format!("-artifact_prefix={}/", folder.display()),
        corpus.display().to_string(),
    ];
    process::exit(drive(&arguments));
}

#[expect(unsafe_code, reason = "libFuzzer is C++")]
fn drive(arguments: &[String]) -> i32 {
    unsafe extern "C" {
        /// FuzzerInterface.h
        fn LLVMFuzzerRunDriver(
            argc: *mut c_int,
            argv: *mut *mut *mut c_char,
            callback: extern "C" fn(*const u8, usize) -> c_int,
        ) -> c_int;
    }
    extern "C" fn once(data: *const u8, size: usize) -> c_int {
        // SAFETY: libFuzzer gives `size` bytes at `data`, for the time of this call.
        let bytes = if size == 0 { &[] } else { unsafe { slice::from_raw_parts(data, size) } };
        if let Some(target) = TARGET.get() {
            target(bytes);
        }
        0
    }
    let arguments: Vec<CString> =
        arguments.iter().filter_map(|argument| CString::new(argument.as_str()).ok()).collect();
    let mut pointers: Vec<*mut c_char> =
        arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
    let mut count = c_int::try_from(pointers.len()).unwrap_or(0);
    pointers.push(std::ptr::null_mut());
    let mut argv = pointers.as_mut_ptr();
    // A panic is what is looked for: it must not be caught by the test's own harness.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        hook(info);
        process::abort();
    }));
    // SAFETY: both pointers are good for the time of the call, and the list ends with a null as
    // that of `main` does. libFuzzer does not keep them.
    unsafe { LLVMFuzzerRunDriver(&raw mut count, &raw mut argv, once) }
}
