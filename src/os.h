/* The only way to the kernel.
 *
 * Contract: every call may fail and says so in its return value; no call aborts, allocates or takes a
 * lock; errno is left as it was found. Addresses and lengths are multiples of the page unless said
 * otherwise. Tests put failing versions behind these names (the linker's --wrap). */
#ifndef MESH_OS_H
#define MESH_OS_H

#include "config.h"

/* Bytes; a power of two of at least 4096. */
size_t os_page_size(void);
/* Bytes of address space this process might map, as RLIMIT_AS has it, if it had not mapped `but_for` bytes of those it
 * has; SIZE_MAX if unlimited. */
size_t os_address_space_left(size_t but_for);

/* The same of RLIMIT_MEMLOCK, for who locks all memory. */
size_t os_lockable_left(size_t but_for);

/* Inaccessible address space, charged to nobody. NULL on failure. */
void *os_reserve(size_t size);
/* Usable private zeroed memory. NULL on failure. */
void *os_map(size_t size);
/* As os_map, for a table of which little will be touched: not counted against memory. */
void *os_map_sparse(size_t size);
void os_unmap(void *addr, size_t size);
/* Makes reserved space readable and writable. */
bool os_commit(void *addr, size_t size);
/* Gives the pages back; they read zero afterwards. Private anonymous memory only. */
bool os_purge(void *addr, size_t size);
/* Faults pages in ahead of their use; false where the kernel cannot (before Linux 5.14). */
bool os_populate(void *addr, size_t size);
/* Bytes of private memory that have pages; all where the system does not tell. */
size_t os_resident(void *addr, size_t size);
/* Puts fresh zeroed private memory in the place of whatever is mapped there. */
bool os_map_fresh(void *addr, size_t size);
/* Moves the pages at `from` to `to`, where they are followed by fresh ones up to `to_size`, all one
 * kernel mapping. `from` must be part of one mapping and is a hole afterwards, for os_fill_hole at once.
 * False, with nothing changed, where the kernel will not. */
bool os_move_pages(void *from, size_t from_size, void *to, size_t to_size);
/* Fresh zeroed private memory where nothing is mapped; false if somebody else was quicker. */
bool os_fill_hole(void *addr, size_t size);

/* ---- Meshing ---- */

/* A memfd of `size` bytes, all hole, mapped shared and writable as one window; pages that are touched
 * in it are shared with whatever is aliased to them. It is left out of core dumps.
 * Stores the descriptor, which is none of the lowest and closed on exec. NULL where the kernel cannot. */
void *os_window_open(size_t size, int *fd);
/* Maps the window's pages at `window` also at `addr`, in the place of whatever is there. Works on the
 * mapping, so that it does not matter what the program has done to the descriptor. */
bool os_alias(void *window, size_t size, void *addr);
/* A page of the window once more, wherever there is room: a mapping that joins no other. NULL on failure. */
void *os_map_spare(void *window);
/* The descriptor is still that of the file that the window was made from; a program may have closed it, or
 * have a file of its own there by now. Uses the first byte of the file. */
bool os_is_file_of(int fd, void *window);
/* Maps part of a file privately: what is there is seen, what is stored from now on is this process's
 * alone. Not charged ahead, as the arena is not. */
bool os_map_private(int fd, size_t offset, size_t size, void *addr);
/* So much private memory may stand in the place of what is mapped now: limits and the system's strictness
 * allow it. */
bool os_private_allowed(size_t size);
/* The kernel has this memory, two pages or more, in one mapping. `behind` is an address behind it at which
 * something is mapped. False, too, if the kernel does not tell. Changes nothing. */
bool os_is_one_mapping(void *addr, size_t size, void *behind);
/* Moves private memory from `from`, one mapping, to `to`. */
bool os_replace(void *from, size_t size, void *to);
/* A page that reads `*page == 1` in this process and 0 in a child that no fork handler prepared. NULL
 * where the kernel cannot (before Linux 4.14). */
uint32_t *os_wiped_on_fork(void);
/* Frees the file's pages below this part of the window; all aliases read zero afterwards. */
bool os_punch(void *window, size_t size);
/* userfaultfd. `user_only`: stores by the kernel on the program's behalf fail with EFAULT instead of
 * waiting, which needs no privilege. -1 where the kernel will not. */
int os_uffd_open(bool user_only);
/* The range's faults are the descriptor's. It may fail with part of the range done, where that takes more
 * mappings than there may be. */
bool os_uffd_register(int fd, void *addr, size_t size);
/* For a registered range: stores to the pages wait from now on, until os_uffd_wake once the pages were mapped
 * anew, or until they are no longer protected. Pages that are not there yet must be
 * touched before. It may fail with part of the pages done. */
bool os_uffd_protect(int fd, void *addr, size_t size, bool protected);
void os_uffd_wake(int fd, void *addr, size_t size);
/* The descriptor is still a userfaultfd: programs close numbers that they do not know. */
bool os_uffd_is_open(int fd);
void os_close(int fd);

/* A child made by fork will not have the memory. False where the kernel cannot. */
bool os_keep_from_child(void *addr, size_t size);
/* Duplicates a descriptor of ours to another number and leaves the old one to be closed; -1 if the system
 * will not. */
int os_fd_move(int fd);
bool os_is_open(int fd);
/* The pages belong into a core dump. */
bool os_set_dumped(void *addr, size_t size);
/* ... or not: what a debugger would read, of address space that is only reserved. */
bool os_set_undumped(void *addr, size_t size);

/* Makes pages read-only, or writable again. It may fail with part of them done. */
bool os_set_writable(void *addr, size_t size, bool writable);

/* Has the kernel put a memory fence into every running thread of the process (membarrier). */
bool os_fence_all_threads(void);

/* A signal's action. */
typedef struct OsSignalAction {
  uintptr_t handler;
  uint64_t flags; /* SA_... */
  uint64_t mask;  /* one bit a signal */
} OsSignalAction;
/* Sets the action for SIGSEGV; stores the one before at `old` if that is not NULL. */
bool os_segv_action_set(const OsSignalAction *action, OsSignalAction *old);
/* Where the calling thread's handlers run that asked for a stack of their own; empty if it has none. */
void os_signal_stack(uintptr_t *start, uintptr_t *end);
/* SIGSEGV is in the calling thread's mask. */
bool os_segv_blocked(void);
/* Blocks these signals too, until the handler that calls it returns. */
void os_signals_add(const uint64_t *mask);

/* A system call that is given these bytes, 8 or more on at most two pages, would not fail with EFAULT. */
bool os_readable(const void *addr, size_t size);

/* The process's number. */
int os_process(void);
/* That of its parent, by now. */
int os_parent(void);
/* vm.max_map_count; 65530 where it cannot be read. */
size_t os_max_map_count(void);
/* The system promises no more memory than it has (vm.overcommit_memory=2). */
bool os_commits_strictly(void);
/* Blocks all signals of the calling thread for the time of a batch; the set is for os_signals_restore. */
void os_signals_block(uint64_t *saved);
void os_signals_restore(const uint64_t *saved);

/* Milliseconds of a monotonic clock, to a few ms. It counts from the machine's start, which may be months ago: times
 * that are kept in fewer bits say something only of what cannot be older than those reach. */
uint64_t os_now_ms(void);
/* Nanoseconds of a monotonic clock. */
uint64_t os_now_ns(void);
uint64_t os_random(void);
/* May return early. */
void os_sleep_ms(uint32_t ms);

/* Waits while *word == expected, or until woken; may return early. */
void os_futex_wait(uint32_t *word, uint32_t expected);
void os_futex_wake(uint32_t *word, int count);
/* Wakes all who wait by futexes shared between processes in `size` bytes of words. */
void os_futex_wake_shared(uint32_t *words, size_t size);

void os_write(int fd, const char *text, size_t length);
_Noreturn void os_abort(void);

/* The lock of libc's list of streams, under which a thread may wait for another that allocates with a stream locked. libc's
 * fork takes it after the handlers, so ours take it before the heap's locks. In the child libc has made it anew, if it
 * saw that there were other threads; so does the last of these. */
void os_streams_lock(void);
void os_streams_unlock(void);
void os_streams_reset(void);

/* The environment's value, or NULL; NULL too in a program that gained privileges by exec. */
const char *os_getenv(const char *name);
/* There is no thread but the caller. False where libc does not tell. */
bool os_single_threaded(void);

#endif
