/* Free page runs: bins by length, best fit, coalescing by boundary tags kept in the MiniHeap table.
 * Dirty and clean runs never coalesce with each other. All functions are called under the arena lock;
 * none makes a system call. */
#ifndef MESH_PAGE_RUN_H
#define MESH_PAGE_RUN_H

#include "config.h"

typedef enum RunState {
  RUN_DIRTY = 0,
  RUN_CLEAN = 1,
  RUN_STATES = 2,
  RUN_BUSY = 2, /* taken out of the bins while it is purged; its pages stay CLASS_NONE */
} RunState;

/* Adds pages whose class map entries are CLASS_NONE as a free run, joined with free neighbours. */
void page_run_insert(uint32_t page, uint32_t pages, RunState state, uint32_t now_ms);
/* Takes the best fit of at least `pages` pages, aligned (a power of two, by page number plus
 * `bias`); the rest stays free. Returns 0 if there is none. */
uint32_t page_run_take(uint32_t pages, uint32_t align, uint32_t bias, RunState state);
/* If a free run starts at `page`, which must not be within one, and has `pages` pages, takes them and tells their state. */
bool page_run_take_at(uint32_t page, uint32_t pages, RunState *state);
/* Pages of the free run, dirty or clean, that starts at `page`; 0 if none does. */
uint32_t page_run_at(uint32_t page);
/* Of the one that ends before `page`. */
uint32_t page_run_before(uint32_t page);
/* Takes the dirty run that has waited longest, or its first *pages pages if it is longer, marked RUN_BUSY; 0 if there is
 * none. Stores how many. */
uint32_t page_run_take_oldest(uint32_t *pages);
/* Makes pages that are in no run such a run, freed at `now_ms`. */
void page_run_hold(uint32_t page, uint32_t pages, uint32_t now_ms);
/* There is such a run, of any thread's. */
bool page_runs_busy(void);
/* Adds it again. */
void page_run_return(uint32_t page, uint32_t pages, RunState state, uint32_t now_ms);
/* In the child of a fork: nobody is here who would return the runs that other threads were purging. Those of
 * the calling thread, which it is at if a signal handler forked, it will return. */
void page_runs_fork_child(void);
/* os_now_ms at which the longest-waiting dirty run was freed; only if there is one. */
uint32_t page_run_oldest_stamp(void);
uint32_t page_run_oldest(void);

#endif
