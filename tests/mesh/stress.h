/* What the parts of mesh_stress share. */
#ifndef TESTS_MESH_STRESS_H
#define TESTS_MESH_STRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../dice.h"

enum { MAX_THREADS = 64 };

/* One thread of a part. */
struct worker {
  const char *part;
  int number; /* among the part's threads */
  struct dice dice;
  atomic_ulong operations; /* the watchdog wants to see it grow */
  bool counted;            /* the part's last line has its operations by name */
};

extern int stress_threads;

/* False when the time is up. */
bool running(void);
static inline void did_one(struct worker *w) {
  atomic_fetch_add_explicit(&w->operations, 1, memory_order_relaxed);
}

/* Says what is wrong and ends the process. Safe in signal handlers and in children that share locks with nobody
   any more. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The call cannot fail here. */
#define must(ok) ((ok) ? (void)0 : fail("%s:%d: %s, errno %d", __FILE__, __LINE__, #ok, errno))

/* Zeroed memory that is not the heap's: what must be there is written down here. */
void *plain_memory(size_t size);
uint64_t now_ns(void);
/* Sleeps at most this long, now and then not at all. */
void pause_up_to(struct dice *dice, unsigned microseconds);

/* Runs `start` in a thread of its own. */
void join_new_thread(void *(*start)(void *), void *argument);

/* Before any other thread is there. */
void close_part(struct worker *w);
void alone_part(struct worker *w);
void bare_part(struct worker *w);
/* Run until running() is false. */
void write_part(struct worker *w);
void order_part(struct worker *w);
void kernel_part(struct worker *w);
void libc_part(struct worker *w);
void mask_part(struct worker *w);
void fork_part(struct worker *w);
void signal_part(struct worker *w);
void fault_part(struct worker *w);
void futex_part(struct worker *w);
void shared_part(struct worker *w);
void compact_part(struct worker *w);
void snatch_part(struct worker *w);

#endif
