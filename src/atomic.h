/* C11 atomics with the memory order in the name, so that grep shows every ordering.
 * An acquire names the release it pairs with, in a comment at its use. */
#ifndef MESH_ATOMIC_H
#define MESH_ATOMIC_H

#include <stdatomic.h>

#define load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define sub_relaxed(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define or_relaxed(p, v) atomic_fetch_or_explicit((p), (v), memory_order_relaxed)
#define and_relaxed(p, v) atomic_fetch_and_explicit((p), (v), memory_order_relaxed)
#define exchange_acquire(p, v) atomic_exchange_explicit((p), (v), memory_order_acquire)
#define exchange_release(p, v) atomic_exchange_explicit((p), (v), memory_order_release)
#define cas_acquire(p, expected, v)                                                    \
  atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acquire, \
                                          memory_order_relaxed)
#define cas_relaxed(p, expected, v)                                                    \
  atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_relaxed, \
                                          memory_order_relaxed)

#endif
