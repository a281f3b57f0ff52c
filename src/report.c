/* MALLOCSTATS=1: a summary on stderr when the program ends. The first lines are those that users of Mesh
 * know. Written without stdio, which may be closed or mid-way through anything by now. */
#include <stdarg.h>
#include <stdio.h>

#include "barrier.h"
#include "global_heap.h"
#include "init.h"
#include "mesh_pass.h"
#include "options.h"
#include "os.h"
#include "stats.h"
#include "thread_local_heap.h"

#define LAST_LOOK_NS 1000000

__attribute__((format(printf, 1, 2))) static void line(const char *format, ...) {
  char text[256];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (n > 0) os_write(2, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static double mb(size_t bytes) { return (double)bytes / (double)MIB; }

static NOINLINE void report(void) { /* not beside what every program runs */
  HeapStats s;
  MeshFigures m;
  stats_read(&s);
  mesh_pass_figures(&m);
  line("MESH COUNT:         %zu\n", m.meshes);
  line("Meshed MB (total):  %.1f\n", mb(m.pages_total * s.page_bytes));
  line("Meshed pages HWM:   %zu\n", m.pages_peak);
  line("Meshed MB HWM:      %.1f\n", mb(m.pages_peak * s.page_bytes));
  line("MH Alloc Count:     %zu\n", s.span_allocs);
  line("MH Free  Count:     %zu\n", s.span_frees);
  line("MH High Water Mark: %zu\n", s.spans_peak);
  line("Live MB:            %.1f\n", mb(s.live_bytes));
  line("Resident MB:        %.1f\n", mb(stats_resident(&s)));
  line("Saved MB:           %.1f\n", mb(s.meshed_bytes));
  line("Cached MB:          %.1f\n", mb(s.cached_bytes));
  line("Metadata MB:        %.1f\n", mb(s.metadata_bytes));
  line("Mesh passes:        %zu\n", m.passes);
  line("Meshing ms (total): %.2f\n", (double)m.total_ns / 1e6);
  line("Meshing ms longest: %.2f\n", (double)m.longest_ns / 1e6);
  line("Maps used:          %zu\n", s.maps);
  line("Barrier:            %s\n", barrier_name(barrier_kind()));
  line("Lock waits:         %zu\n", s.lock_waits);
}

__attribute__((destructor)) static void at_exit(void) {
  /* A last look at what was freed: misuse is seen when slots are drained. */
  thread_heap_flush();
  const uint64_t begin = os_now_ns();
  for (unsigned c = CLASS_FIRST; c < CLASS_END; c++)
    while (depot_drain_some(c, 1) && os_now_ns() - begin < LAST_LOOK_NS) continue;
  if (options.stats && load_acquire(&init_done)) report(); /* acquire: init_slow's release */
}
