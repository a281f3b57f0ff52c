/* libmesh's own interface, beside the standard malloc family. A program that may run without libmesh
 * declares these functions weak and tests them for NULL before the call. */
#ifndef MESH_H
#define MESH_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads, writes or does something by name, with the signature of jemalloc's mallctl: `old` and `old_len`
 * receive a value (either may be NULL), `new_value` and `new_len` give one. Returns 0, or
 *   ENOENT  no such name
 *   EINVAL  a value of the wrong length
 *   EPERM   a write to what is read-only
 *
 *   mesh.compact        -              meshes all that can be meshed and purges, now. Reads (size_t) the
 *                                      pages of the system's that were given back.
 *   mesh.scavenge       -              purges free pages, now, without meshing. Reads nothing: *old_len becomes 0.
 *   mesh.check_period   unsigned, r/w  least time between mesh passes, ms; 0 turns meshing off
 *   stats.allocated     size_t         bytes in objects that the program holds
 *   stats.active        size_t         bytes in pages of spans and large blocks, each page counted once
 *                                      however many spans share it
 *   stats.resident      size_t         bytes of physical memory: active as far as they were touched, free pages
 *                                      not yet purged, metadata. Asks the system about each large block.
 *   stats.mapped        size_t         bytes of address space in use
 *   stats.metadata      size_t         bytes of libmesh's own tables
 *   stats.meshed        size_t         bytes released by meshing at present
 */
int mesh_mallctl(const char *name, void *old, size_t *old_len, void *new_value, size_t new_len);

/* Keeps the memory of [p, p + size) where it is, physically too, for devices, registered buffers and
 * whatever else knows memory by more than its address. Pins nest; they end with the object, if not
 * before. 0, or -1 if it may still move: where there is no memory to note it in, whenever pages are meshed; where
 * the memory is meshed and cannot be parted now (a system call writes there, or no mapping is to be had), at
 * the next fork. Objects allocated with an alignment of 512 or more, and those of a page or more, never do. */
int mesh_pin(const void *p, size_t size);
void mesh_unpin(const void *p, size_t size);

#ifdef __cplusplus
}
#endif

#endif
