// SPDX-License-Identifier: Apache-2.0
// A disk below a program that loses power or fails: a library to preload (LD_PRELOAD), for tests
// only.
//
// It sees every call that changes what lies under one folder, and does two things with it:
//  - journal.c writes it down, in a file outside of that folder, so that kvsdisk.py can tell later
//    what a disk would hold of it after a power loss;
//  - inject.c makes chosen calls fail, as told in a page of memory that the test shares.
// calls.c has the functions themselves. A call that changes files there in a way that is not
// modelled ends the process with a message: the test must not believe what it cannot know.
//
// Steered by the environment: KVS_FAULTS_ROOT (absolute, without "..", "." and "//"; nothing of
// this is active without it), KVS_FAULTS_JOURNAL, KVS_FAULTS_CONTROL (either may be missing).
#ifndef KVS_TESTS_FAULTS_H
#define KVS_TESTS_FAULTS_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// ---- journal.c

// What the journal says of a call. Numbers are in kvsdisk.py, too.
enum faults_op {
    FAULTS_OUTCOME = 1, // of the record `seq`: `a` is the call's result, or -errno
    FAULTS_CREATE,      // a file at `path` (empty: without a name); the outcome is its inode
    FAULTS_WRITE,       // the data at offset `a`; the outcome is how much of it
    FAULTS_TRUNCATE,    // to `a` bytes
    FAULTS_ALLOCATE,    // to at least `a` bytes
    FAULTS_SYNC,        // file or folder; what came before this record, from when its outcome is 0
    FAULTS_MKDIR,       // the outcome is the inode
    FAULTS_RENAME,      // two paths
    FAULTS_LINK,        // two paths
    FAULTS_UNLINK,
    FAULTS_RMDIR,
};

// Little endian, as in memory; `size` bytes of payload follow: data or paths relative to the root,
// each with a NUL.
struct faults_record {
    uint32_t size;
    uint32_t op;
    uint64_t seq;
    uint64_t inode;
    int64_t a;
};

// A path below the root, or the root itself (""), relative to it.
struct faults_path {
    bool inside;
    char text[PATH_MAX];
};

extern bool faults_active; // there is a root
extern int faults_journal_fd;

// Calls that change something are made one at a time, so that the journal has them in their order.
void faults_lock(void);
void faults_unlock(void);

// Writes a record down; under the lock. Returns its number.
uint64_t faults_intend(enum faults_op op, uint64_t inode, int64_t a, const void *payload,
                       size_t size);
// Takes the call's result and errno.
void faults_outcome(uint64_t seq, int64_t result);

// Where `path` (relative to `dir_fd`) lies. Ends the process over a path below the root with "..".
void faults_resolve(int dir_fd, const char *path, struct faults_path *ret_path);

// Descriptors of files and folders below the root.
void faults_track(int fd);
void faults_forget(int fd);
// Its inode; 0 when it is none of those.
uint64_t faults_inode(int fd);
bool faults_is_folder(int fd);

_Noreturn void faults_die(const char *call, const char *why);

// ---- inject.c

enum faults_call {
    FAULTS_CALL_WRITE = 1 << 0,
    FAULTS_CALL_SYNC = 1 << 1,
    FAULTS_CALL_OPEN = 1 << 2,
    FAULTS_CALL_RENAME = 1 << 3,
    FAULTS_CALL_ALLOCATE = 1 << 4, // fallocate, ftruncate
    FAULTS_CALL_UNLINK = 1 << 5,
    FAULTS_CALL_MKDIR = 1 << 6,
    FAULTS_CALL_MALLOC = 1 << 7, // the program's own, not its libraries'
};

// The shared page, at the offsets that kvsdisk.py knows. The test writes `armed` last.
struct faults_control {
    _Atomic uint32_t armed;  // 0: nothing fails, nothing is counted
    uint32_t calls;          // enum faults_call: which
    int32_t errnum;          // with what
    uint32_t partly;         // a failing write leaves half of its data all the same
    uint64_t first;          // the first that fails, counted from 0 since it was armed
    uint64_t count;          // how many do
    _Atomic uint64_t seen;   // calls that were asked about
    _Atomic uint64_t failed; // of these failed
    uint64_t kill_at; // SIGKILL before this call that changes the disk, counted from 1; 0: never
    _Atomic uint64_t changes;
    uint32_t sync_us; // a sync takes so long; less than a second
    char name[60];    // all of this only for files whose path contains that; "" = all
};

void faults_inject_init(const char *control_path);
// Must this call fail? Then errno is set.
bool faults_fails(enum faults_call call, const char *path);
bool faults_fails_fd(enum faults_call call, int fd);
bool faults_partly(void);
void faults_count_change(void); // may not return
void faults_sync_delay(int fd);

#endif
