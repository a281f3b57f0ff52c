/* A seeded mix of all calls of the malloc family, in which every object has bytes of its own and every
 * byte is checked. For child processes: what is wrong ends the process. */
#ifndef UNIT_WORKLOAD_H
#define UNIT_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

/* Calls may give NULL with ENOMEM, and only that, if `may_fail`. What it allocates stays for the next. */
void workload_run(uint64_t seed, int calls, bool may_fail);
/* For a workload's start: a block with neighbours that grows, and shrinks again; many objects of one class.
 */
void workload_grow(bool may_fail);
/* All bytes of all objects. */
void workload_check(void);
void workload_free_all(void);

#endif
