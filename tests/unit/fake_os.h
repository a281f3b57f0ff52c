/* A kernel with a script, between the allocator and os_linux.c (the linker's --wrap): calls fail when
 * told to, the clock stands still if told to, pages have any size. For one thread. */
#ifndef UNIT_FAKE_OS_H
#define UNIT_FAKE_OS_H

#include "config.h"

/* The calls that may fail; ANY_CALL is all of them together. */
typedef enum OsCall {
  RESERVE_CALL,
  MAP_CALL,
  COMMIT_CALL,
  PURGE_CALL,
  POPULATE_CALL,
  MAP_FRESH_CALL,
  MOVE_PAGES_CALL,
  FILL_HOLE_CALL,
  ANY_CALL,
  OS_CALLS,
} OsCall;

typedef struct FakeOs {
  unsigned calls[OS_CALLS]; /* made so far */
  unsigned failed;          /* of them, made to fail */

  OsCall failing;      /* which calls fail: ... */
  unsigned first_fail; /* ... those from this one on, counted from 1; 0 is none ... */
  unsigned last_fail;  /* ... to this one */

  size_t page_size;          /* bytes, a multiple of the kernel's; 0: the kernel's */
  size_t address_space_left; /* bytes; 0: the kernel's answer */
  uint64_t now_ms;           /* 0: the kernel's clock */
  uint64_t step_ns;          /* the finer clock goes on by this with each look at it; 0: the kernel's */
  size_t mapped;             /* bytes reserved and mapped, less those unmapped */
} FakeOs;

extern FakeOs fake_os;

#endif
