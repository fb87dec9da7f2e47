//! What every export shares: the panic guard, the last error, and checked access to arguments.

use std::{
    cell::RefCell,
    ffi::{CString, c_char},
    panic::{AssertUnwindSafe, catch_unwind},
    slice,
};

use coromega_ws_abi::{CMWS_STATUS_OK, cmws_header_t, cmws_status_t};
use coromega_ws_core::{Error, Header, Kind, Result};

thread_local! {
    /// Why the last failing call on this thread failed.
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

/// Runs a call; a failure becomes its status, and its text the thread's last error.
pub(crate) fn guard(call: impl FnOnce() -> Result<()>) -> cmws_status_t {
    // What a panic leaves is behind locks that do not mind being poisoned.
    let result = catch_unwind(AssertUnwindSafe(call));
    match result.unwrap_or_else(|_| Err(Error::new(Kind::Internal, "internal error: a panic was caught"))) {
        Ok(()) => CMWS_STATUS_OK,
        Err(error) => {
            let status = error.kind as i32;
            remember(&error);
            status
        }
    }
}

/// Runs a call that can't fail.
pub(crate) fn guard_silent(call: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(call));
}

fn remember(error: &Error) {
    // While the thread ends there is nobody left to ask.
    let _ = LAST_ERROR.try_with(|last| {
        let mut last = last.borrow_mut();
        if last.as_bytes() != error.text.as_bytes() {
            *last = CString::new(error.text.replace('\0', "\\0")).unwrap_or_default();
        }
    });
}

/// The text of the thread's last error.
pub(crate) fn last_error() -> *const c_char {
    LAST_ERROR.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// A complaint about an argument.
pub(crate) fn invalid(what: &'static str) -> Error {
    Error::new(Kind::InvalidArgument, what)
}

/// Bytes that a caller passes; NULL is none.
///
/// # Safety
/// `data` is NULL, or `length` bytes can be read there for as long as `'a`.
pub(crate) unsafe fn bytes<'a, T>(data: *const T, length: usize) -> Result<&'a [u8]> {
    if data.is_null() {
        return if length == 0 { Ok(&[]) } else { Err(invalid("a NULL pointer with a length")) };
    }
    if length > isize::MAX as usize {
        return Err(invalid("a length is larger than memory"));
    }
    // SAFETY: not NULL and readable, says the caller; the length fits.
    Ok(unsafe { slice::from_raw_parts(data.cast(), length) })
}

/// Header fields that a caller passes.
///
/// # Safety
/// `headers` is NULL, or `count` structs can be read there, and what they point to for as long as
/// `'a`.
pub(crate) unsafe fn fields<'a>(headers: *const cmws_header_t, count: usize) -> Result<Vec<Header<'a>>> {
    if headers.is_null() && count > 0 {
        return Err(invalid("headers is NULL with a count"));
    }
    // A head holds fewer: this bounds what a wrong count can do.
    if count > 10_000 {
        return Err(invalid("more than 10,000 headers"));
    }
    let mut fields = Vec::with_capacity(count);
    for index in 0..count {
        // SAFETY: the caller's promise, for the array and what it points to.
        fields.push(unsafe {
            let header = headers.add(index).read();
            Header {
                name: bytes(header.name, header.name_length)?,
                value: bytes(header.value, header.value_length)?,
            }
        });
    }
    Ok(fields)
}

/// Stores an output.
///
/// # Safety
/// `out` is NULL, or a `T` can be stored there.
pub(crate) unsafe fn store<T>(out: *mut T, value: T) -> Result<()> {
    if out.is_null() {
        return Err(invalid("an output is NULL"));
    }
    // SAFETY: not NULL, and writable, says the caller.
    unsafe { out.write(value) };
    Ok(())
}

/// Fails early where an output can't be stored, before anything has been done.
pub(crate) fn check_output<T>(out: *mut T) -> Result<()> {
    if out.is_null() { Err(invalid("an output is NULL")) } else { Ok(()) }
}

/// Stores as much of a struct as a caller has room for, who may know a smaller or a larger one.
///
/// # Safety
/// `out` is NULL, or `size` bytes can be stored there; it may lie anywhere. Padding of `T`'s is
/// copied as it is, and is nothing that a caller may look at.
pub(crate) unsafe fn store_sized<T: Copy>(out: *mut T, size: usize, value: T) -> Result<()> {
    check_output(out)?;
    if size == 0 {
        return Err(invalid("the size of a struct is 0"));
    }
    if size == size_of::<T>() {
        // SAFETY: the caller has room for all of it.
        unsafe { out.write_unaligned(value) };
        return Ok(());
    }
    let known = size.min(size_of::<T>());
    // SAFETY: both sides have `known` bytes and are different memory, for `value` is ours. What the
    // caller has beyond is set to 0.
    unsafe {
        out.cast::<u8>().copy_from_nonoverlapping((&raw const value).cast(), known);
        out.cast::<u8>().add(known).write_bytes(0, size - known);
    }
    Ok(())
}

/// An array of structs that the library fills, with the size of an element as the caller knows it.
pub(crate) struct Array<T> {
    start: *mut T,
    size: usize,
    capacity: usize,
}

impl<T: Copy> Array<T> {
    pub(crate) fn new(start: *mut T, size: usize, capacity: usize) -> Result<Array<T>> {
        check_output(start)?;
        if size == 0 || capacity == 0 {
            return Err(invalid("an array has no room"));
        }
        Ok(Array { start, size, capacity })
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// # Safety
    /// As for `store_sized`, for every index below the capacity.
    pub(crate) unsafe fn set(&self, index: usize, value: T) -> Result<()> {
        if index >= self.capacity {
            return Err(Kind::Internal.into());
        }
        // SAFETY: the caller's array has `capacity` elements of `size` bytes, so that this one lies
        // inside of it.
        unsafe { store_sized(self.start.byte_add(index * self.size), self.size, value) }
    }
}
