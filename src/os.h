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
/* Bytes of address space this process may still map, as RLIMIT_AS has it; SIZE_MAX if unlimited. */
size_t os_address_space_left(void);

/* Inaccessible address space, charged to nobody. NULL on failure. */
void *os_reserve(size_t size);
/* Usable private zeroed memory. NULL on failure. */
void *os_map(size_t size);
void os_unmap(void *addr, size_t size);
/* Makes reserved space readable and writable. */
bool os_commit(void *addr, size_t size);
/* Gives the pages back; they read zero afterwards. Private anonymous memory only. */
bool os_purge(void *addr, size_t size);
/* Faults pages in ahead of their use; false where the kernel cannot (before Linux 5.14). */
bool os_populate(void *addr, size_t size);
/* Puts fresh zeroed private memory in the place of whatever is mapped there. */
bool os_map_fresh(void *addr, size_t size);
/* Moves the pages at `from` to `to`, where they are followed by fresh ones up to `to_size`, all one
 * kernel mapping. `from` must be part of one mapping and is a hole afterwards, for os_fill_hole at once.
 * False, with nothing changed, where the kernel will not. */
bool os_move_pages(void *from, size_t from_size, void *to, size_t to_size);
/* Fresh zeroed private memory where nothing is mapped; false if somebody else was quicker. */
bool os_fill_hole(void *addr, size_t size);

/* Milliseconds of a monotonic clock, to a few ms; wraps after 49 days. */
uint32_t os_now_ms(void);
/* Nanoseconds of a monotonic clock. */
uint64_t os_now_ns(void);
uint64_t os_random(void);

/* Waits while *word == expected, or until woken; may return early. */
void os_futex_wait(uint32_t *word, uint32_t expected);
void os_futex_wake(uint32_t *word, int count);

void os_write(int fd, const char *text, size_t length);
_Noreturn void os_abort(void);

/* The environment's value, or NULL; NULL too in a program that gained privileges by exec. */
const char *os_getenv(const char *name);

#endif
