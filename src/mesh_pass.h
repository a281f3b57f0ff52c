/* Meshing policy: which class, which run length, when, and how much at a time.
 *
 * A pass over a class runs  choose -> scan -> match -> apply, in increments that any thread may carry on
 * (mesh lock). Only scan and apply take the class lock, for a fraction of a millisecond each. */
#ifndef MESH_PASS_H
#define MESH_PASS_H

#include "class_heap.h"

typedef enum MeshProgress {
  MESH_NOTHING, /* nothing to gain: no pass is under way or due */
  MESH_LATER,   /* nothing to do now, but soon: spans have yet to settle, or the period is not over */
  MESH_MORE,    /* a pass is under way */
  MESH_BUSY,    /* another thread is at it, or waits for a lock that it needs: leave it a millisecond */
} MeshProgress;

/* Works for about `ns` nanoseconds. */
MeshProgress mesh_pass_work(uint64_t ns);

/* An increment if one is due, for calls that the program waits for: rate-limited, a small share of the
 * time. */
void mesh_pass_tick(uint64_t now_ms);

/* Milliseconds until a pass over some class is due. */
uint32_t mesh_pass_next_due(uint64_t now_ms);

/* Meshes all that can be, now, without waiting for spans to settle. Returns the pages released. */
size_t mesh_pass_all(void);

typedef struct MeshFigures {
  size_t pages_now;     /* released by meshing at present */
  size_t pages_peak;
  size_t pages_total;   /* released since the start */
  size_t meshes;        /* spans joined to a group */
  size_t passes;
  uint64_t total_ns;    /* time spent in increments */
  uint64_t longest_ns;  /* longest increment */
} MeshFigures;

void mesh_pass_figures(MeshFigures *f);

/* Before a fork, all locks held: what groups share becomes each span's own, on both sides. A pass under
 * way is given up. */
void mesh_pass_fork(void);

#endif
