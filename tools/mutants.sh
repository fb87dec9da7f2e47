#!/bin/sh
# Shows that the models can fail: breaks a copy of the library in one place after the other, and
# expects a model to find it: mutants.sh [part of what is broken]
set -eu
cd "$(dirname "$0")/.."
wanted=${1-}
copy=build/mutants
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}" RUST_BACKTRACE=0
rm -rf "$copy" && mkdir -p "$copy"
cp -Rp Cargo.toml Cargo.lock core ffi-c lua-binding python-binding include tools "$copy"
failed=0

# mutant NAME FILE SCRIPT-OF-SED MODEL
mutant() {
    case $1 in *"$wanted"*) ;; *) return 0 ;; esac
    file=core/src/$2
    sed "$3" "$file" >"$copy/$file"
    if cmp -s "$file" "$copy/$file"; then
        echo "not ok: $1: $2 has nothing like it"
        failed=1
    elif "$copy/tools/models.sh" "models::$4" >"$copy/log" 2>&1; then
        echo "not ok: $1: $4 does not find it"
        failed=1
    elif grep -q "^thread 'models::$4' .*panicked" "$copy/log"; then
        echo "ok: $1: $4"
    else
        cat "$copy/log" >&2
        exit 1
    fi
    cp "$file" "$copy/$file"
}

lock=write_lock::a_request_is_served_beside_a_guest_that
mutant "the guest's fence is left out" writer.rs '/fn settle</,/^    }/ { /fence(/d }' ${lock}_sends
mutant "the runtime's fence is left out" writer.rs '/fn ask_for_writer/,/^    }/ { /fence(/d }' ${lock}_sends
mutant "the fences order less" writer.rs 's/fence(Ordering::SeqCst)/fence(Ordering::AcqRel)/' ${lock}_sends
mutant "nobody looks again after the lock" writer.rs 's/if !self.asked.load(Ordering::Acquire)/if true/' ${lock}_sends
mutant "the runtime does not ask" writer.rs '/self.asked.store(true/d' ${lock}_sends
mutant "numbers are read and nobody is served" writer/send.rs \
    's/self.with_writer(|w| w.sent)/self.writer.lock().sent/' ${lock}_asks_for_numbers
mutant "the runtime waits for the lock" writer.rs \
    '/fn ask_for_writer/,/^    }/ s/self.writer.try_lock()/Some(self.writer.lock())/' \
    write_lock::the_runtime_waits_for_no_guest_and_its_request_is_served

mailbox=mailbox::a_guest_that_waits_in_poll_hears_of_all_messages
mutant "poll sleeps and does not say so" mailbox.rs '/queue.asleep = true;/ { N; /waiting/d }' $mailbox
mutant "a burst does not end" burst.rs '/end.wake_by_ref();/d' $mailbox
mutant "a signal is counted and not sent" mailbox.rs \
    '/fn signal(&self)/,/^    }/ { /self.wake.signal();/d }' $mailbox
mutant "what was heard is no news again" told.rs 's/word \& !bit(kind)/word/' $mailbox
mutant "what waits is told again" told.rs 's/(word \& bit(kind) == 0).then_some/true.then_some/' \
    mailbox::an_event_waits_once_whoever_tells_it
mutant "only threads in poll are woken" mailbox.rs 's/if queue.asleep {/if queue.waiting {/' \
    mailbox::a_host_that_polls_until_there_is_nothing_hears_of_all_messages
mutant "flush does not look for events" mailbox.rs \
    '/pub fn flush/,/^    }/ { /signal_if_due/d }' mailbox::a_host_that_flushes_after_a_batch_hears_of_all_messages
mutant "nobody reminds a host" mailbox.rs '/fn remind/,/^    }/ { /signal_if_due/d }' \
    mailbox::a_host_that_forgets_events_is_reminded
mutant "the end of a mailbox wakes nobody" mailbox.rs '/fn end(/,/^    }/ { /wake.signal/d }' \
    mailbox::a_guest_in_poll_hears_that_its_mailbox_ends
mutant "a new descriptor takes a signal" mailbox.rs 's/(queue.closed || .*Signal::Sent)/queue.closed/' \
    mailbox::a_guest_in_poll_hears_of_a_message_though_another_asks_for_the_descriptor
mutant "a new descriptor takes the end's signal" mailbox.rs 's/(queue.closed || \(.*Signal::Sent\))/\1/' \
    mailbox::a_guest_in_poll_hears_of_the_end_though_another_asks_for_the_descriptor
mutant "a mailbox that ends looks busy" mailbox.rs 's/let closed = .*closed;/let closed = false;/' \
    mailbox::a_guest_in_poll_hears_that_its_mailbox_ends

moves=transfer::the_guest_that_gives_a_connection_away_hears_nothing_of_it_after_that
mutant "events have no place" told.rs 's/word >> KINDS == handle/handle != 0/' $moves
mutant "a connection is told of where it was" connection.rs \
    '/fn tell(/,/^    }/ s/self.home();/self.home().clone();/' $moves
mutant "what has come is not told again" transfer.rs '/if !inbox.is_empty()/,/}/d' $moves
mutant "a handle that has moved is moved again" transfer.rs 's/ || self.handle() != old//' \
    transfer::two_that_move_a_connection_agree_on_where_it_is
mutant "a mailbox that ends takes a connection in" mailbox/members.rs \
    '/fn take_in/,/^    }/ { /if members.closed/,/}/d }' \
    transfer::a_connection_that_moves_into_a_mailbox_that_ends_is_let_go_or_stays
mutant "a connection leaves before it is one that moved" mailbox/members.rs \
    '/^        members.moved.insert/d; s/^        members.connections.remove(&handle);/&\n        members.moved.insert(handle);/
    /^        self.process.moved.insert/d; s/^        members.connections.remove(&handle);/&\n        self.process.moved.insert(handle, self.clone());/' \
    members::a_connection_that_is_freed_while_it_moves_is_in_one_mailbox_until_its_bytes_have_left
mutant "both sides let go and nobody forgets" connection.rs \
    '/fn give_up/,/^    }/ { /self.gone.store/d; s/^        home.forget_connection(self);/&\n        self.gone.store(true, Ordering::Release);/ }' \
    members::a_connection_that_both_sides_let_go_of_is_forgotten

mutant "the end of a batch writes nothing" cork.rs '/connection.uncork();/d' \
    cork::what_is_sent_in_a_batch_leaves_at_its_end_beside_the_timer
timer=cork::what_is_sent_in_a_batch_that_does_not_end_leaves_by_the_timer
mutant "the timer is free too late" cork.rs \
    '/self.timer_set.swap(false/d; s/^        let list = mem::take.*/&\n        self.timer_set.swap(false, Ordering::AcqRel);/' $timer
mutant "the timer is set too early" cork.rs \
    '/fn add/,/^    }/ { /set_timer/d; s/^        self.list().push/        self.set_timer();\n&/ }' $timer
mutant "what moves stays corked" writer.rs '/fn move_writer/,/^    }/ { /if w.corked/,/}/d }' \
    cork::what_is_sent_in_a_batch_leaves_when_the_connection_moves_and_its_mailbox_ends
mutant "a close stays where it is" writer/send.rs '/fn start_close/,/^    }/ { /self.flush(connection);/d }' \
    cork::what_is_accepted_in_a_batch_leaves_before_a_close_by_another_thread

[ $failed = 0 ]
