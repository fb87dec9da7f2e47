//! Models: what threads do to each other, with the code of the library itself, in every order that
//! the model checker (loom) finds.
//!
//! With `--cfg modelled`, four modules of the crate have others in their place: atomics and locks
//! are the model checker's, descriptors and timers are flags, and the runtime has no thread. A model
//! is a test in which up to four threads do what guests and the runtime do; it runs once for each
//! order of their steps, and for each value that an atomic may have there. `Relaxed`, `Acquire`,
//! `Release` and fences are as weak as C11 has them. A thread that nobody wakes is a failure.
//!
//! What is left out: orders with more preemptions than a model's bound, what a compiler makes of the
//! code, and time. Sockets are the system's, and no other thread runs while it is called.
//!
//! The model checker thinks that a store may come between what a read-modify-write has read and what
//! it has written. Where that would be told as a failure, the code has a swap in the place of a store.
#![cfg(test)]

mod cork;
mod mailbox;
mod members;
mod transfer;
mod world;
mod write_lock;
