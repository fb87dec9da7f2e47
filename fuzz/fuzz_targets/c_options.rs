//! Options through the C ABI, as a caller with a smaller or a larger struct has them: nothing
//! beyond the struct is touched, and what is set is what is there.
#![no_main]

use std::{
    alloc::{Layout, alloc, dealloc},
    ffi::c_char,
    sync::LazyLock,
};

use coromega_ws::{
    cmws_mailbox_connect, cmws_mailbox_new, cmws_options_clear, cmws_options_init, cmws_options_set,
    cmws_options_set_text,
};
use coromega_ws_abi::{
    CMWS_STATUS_INVALID_ADDRESS, CMWS_STATUS_INVALID_ARGUMENT, CMWS_STATUS_OK, cmws_options_t,
};
use coromega_ws_core::{Options, limits};
use coromega_ws_fuzz::Input;
use libfuzzer_sys::fuzz_target;

const FULL: usize = size_of::<cmws_options_t>();
const TEXTS: [&str; 12] = [
    "subprotocols",
    "origins",
    "path",
    "health_path",
    "response_headers",
    "proxy",
    "server_name",
    "certificate_file",
    "key_file",
    "ca_files",
    "min_tls_version",
    "no_such",
];

static MAILBOX: LazyLock<u64> = LazyLock::new(|| {
    let mut mailbox = 0;
    // SAFETY: there is room for the handle.
    assert_eq!(unsafe { cmws_mailbox_new(&mut mailbox) }, CMWS_STATUS_OK);
    mailbox
});

/// A caller's struct, exactly as large as the caller says.
struct Caller {
    options: *mut cmws_options_t,
    size: usize,
}

impl Caller {
    fn layout(&self) -> Layout {
        Layout::from_size_align(self.size, align_of::<cmws_options_t>()).expect("small")
    }

    fn new(size: usize) -> Caller {
        let mut caller = Caller { options: std::ptr::null_mut(), size };
        // SAFETY: the layout is not of size 0; the caller has that many bytes.
        unsafe {
            caller.options = alloc(caller.layout()).cast();
            assert_eq!(cmws_options_init(size, caller.options), CMWS_STATUS_OK);
        }
        caller
    }

    /// The struct as far as this version knows it, if all of that is there.
    fn get(&self) -> Option<cmws_options_t> {
        // SAFETY: there are as many bytes.
        (self.size >= FULL).then(|| unsafe { self.options.read() })
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`; cleared for the last time.
        unsafe {
            cmws_options_clear(self.options);
            dealloc(self.options.cast(), self.layout());
        }
    }
}

fn check(caller: &Caller, model: &Options) {
    let Some(seen) = caller.get() else { return };
    assert_eq!(seen.struct_size as usize, caller.size);
    assert_eq!(seen.max_callbacks, model.max_callbacks);
    assert_eq!(seen.open_timeout_ms, model.open_timeout_ms);
    assert_eq!(seen.close_timeout_ms, model.close_timeout_ms);
    assert_eq!(seen.max_message_size, model.max_message_size);
    assert_eq!(seen.read_limit, model.read_limit);
    assert_eq!(seen.write_limit, model.write_limit);
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let size = 4 + usize::from(input.byte()) % (FULL + 32);
    let caller = Caller::new(size);
    let mut model = Options::default();
    check(&caller, &model);
    while !input.0.is_empty() {
        let control = input.byte();
        let which = usize::from(input.byte());
        // SAFETY: names and texts can be read; the struct is as large as it says.
        unsafe {
            match control % 6 {
                0 => {
                    let limit = limits::LIMITS[which % limits::LIMITS.len()];
                    let bytes = input.take(8).first_chunk().copied().unwrap_or_default();
                    let value = match control / 6 % 4 {
                        0 => limit.min,
                        1 => limit.max,
                        2 => limit.min + f64::from(bytes[0]),
                        _ => f64::from_le_bytes(bytes),
                    };
                    let (name, length) = (limit.name.as_ptr().cast::<c_char>(), limit.name.len());
                    let status = cmws_options_set(caller.options, name, length, value);
                    assert_eq!(status == CMWS_STATUS_OK, model.set(limit.name, value).is_ok());
                }
                1 => {
                    let name = TEXTS[which % TEXTS.len()];
                    let length = usize::from(input.byte());
                    let text = input.take(length);
                    let status = cmws_options_set_text(
                        caller.options,
                        name.as_ptr().cast(),
                        name.len(),
                        text.as_ptr().cast(),
                        text.len(),
                    );
                    assert_eq!(status == CMWS_STATUS_OK, model.set_text(name, text).is_ok());
                }
                2 => {
                    let name = input.take(which);
                    let status = cmws_options_set(caller.options, name.as_ptr().cast(), name.len(), f64::NAN);
                    assert_eq!(status, CMWS_STATUS_INVALID_ARGUMENT);
                }
                3 => {
                    cmws_options_clear(caller.options);
                    model = Options::default();
                }
                4 => {
                    // A field, as a C program sets it.
                    let at = 4 * (1 + which % 9);
                    let value = input.take(4).first_chunk().copied().unwrap_or_default();
                    if at + 4 <= size {
                        caller.options.byte_add(at).cast::<[u8; 4]>().write(value);
                    }
                }
                _ => {
                    // What they are used for. The address fails, behind the options.
                    let mut connection = 0;
                    let status = cmws_mailbox_connect(
                        *MAILBOX,
                        c"nowhere".as_ptr(),
                        7,
                        std::ptr::null(),
                        0,
                        caller.options,
                        &mut connection,
                    );
                    let known = [CMWS_STATUS_INVALID_ADDRESS, CMWS_STATUS_INVALID_ARGUMENT];
                    assert!(known.contains(&status), "{status}");
                }
            }
        }
        if control % 6 != 4 {
            check(&caller, &model);
        }
        if let Some(seen) = caller.get() {
            // Fields are the caller's, whoever set them last.
            model.max_callbacks = seen.max_callbacks;
            model.open_timeout_ms = seen.open_timeout_ms;
            model.close_timeout_ms = seen.close_timeout_ms;
            model.max_message_size = seen.max_message_size;
            model.read_limit = seen.read_limit;
            model.write_limit = seen.write_limit;
        }
    }
});
