/* MALLOCSTATS=1: a summary on stderr when the program ends. The first lines are those that users of Mesh
 * know. Written without stdio, which may be closed or mid-way through anything by now. Programs that look at their end
 * whether all was written close stderr before: then a duplicate is used. */
#include <stdarg.h>
#include <stdio.h>

#include "arena_mesh.h"
#include "barrier.h"
#include "global_heap.h"
#include "init.h"
#include "mesh_pass.h"
#include "options.h"
#include "os.h"
#include "stats.h"
#include "thread_local_heap.h"

#define LAST_LOOK_NS 1000000

__attribute__((format(printf, 2, 3))) static void line(int fd, const char *format, ...) {
  char text[256];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (n > 0) os_write(fd, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static double mb(size_t bytes) { return (double)bytes / (double)MIB; }

static NOINLINE void report(void) { /* not beside what every program runs */
  HeapStats s;
  MeshFigures m;
  const int fd = os_is_open(2) ? 2 : arena_mesh_stderr();
  stats_read(&s);
  mesh_pass_figures(&m);
  line(fd, "MESH COUNT:         %zu\n", m.meshes);
  line(fd, "Meshed MB (total):  %.1f\n", mb(m.pages_total * s.page_bytes));
  line(fd, "Meshed pages HWM:   %zu\n", m.pages_peak);
  line(fd, "Meshed MB HWM:      %.1f\n", mb(m.pages_peak * s.page_bytes));
  line(fd, "MH Alloc Count:     %zu\n", s.span_allocs);
  line(fd, "MH Free  Count:     %zu\n", s.span_frees);
  line(fd, "MH High Water Mark: %zu\n", s.spans_peak);
  line(fd, "Live MB:            %.1f\n", mb(s.live_bytes));
  line(fd, "Resident MB:        %.1f\n", mb(stats_resident(&s)));
  line(fd, "Saved MB:           %.1f\n", mb(s.meshed_bytes));
  line(fd, "Cached MB:          %.1f\n", mb(s.cached_bytes));
  line(fd, "Metadata MB:        %.1f\n", mb(s.metadata_bytes));
  line(fd, "Mesh passes:        %zu\n", m.passes);
  line(fd, "Meshing ms (total): %.2f\n", (double)m.total_ns / 1e6);
  line(fd, "Meshing ms longest: %.2f\n", (double)m.longest_ns / 1e6);
  line(fd, "Maps used:          %zu\n", s.maps);
  line(fd, "Barrier:            %s\n", barrier_name(barrier_kind()));
  line(fd, "Lock waits:         %zu\n", s.lock_waits);
}

__attribute__((destructor)) static void at_exit(void) {
  /* A last look at what was freed: misuse is seen when slots are drained. */
  thread_heap_flush();
  const uint64_t begin = os_now_ns();
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++)
    while (depot_drain_some(c, 1) && os_now_ns() - begin < LAST_LOOK_NS) continue;
  if (options.stats && load_acquire(&init_done)) report(); /* acquire: init_slow's release */
}
