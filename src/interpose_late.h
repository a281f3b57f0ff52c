/* Stores into the heap that come at times when no wrapper is there to see them. From the first call on they are reckoned
 * with for good: less is meshed. No batch of before is under way on return. */
#ifndef MESH_INTERPOSE_LATE_H
#define MESH_INTERPOSE_LATE_H

/* By the kernel, or by threads of libc's own, in which all signals are blocked. */
void expect_late_stores(void);
/* By devices. */
void expect_direct_io(void);

#endif
