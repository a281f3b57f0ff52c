#ifndef TESTS_MESH_KERNEL_H
#define TESTS_MESH_KERNEL_H

/* How often each call was tried. */
void kernel_print(void);

#endif
