// Which of the arrays of an .npz file (a zip file of NPY files) are the data, and which their labels.
#ifndef DUEL_IO_DATA_ARRAYS_H
#define DUEL_IO_DATA_ARRAYS_H

#include "io/data/find.h"

// Chooses among the .npy files of f->files: the only one that holds images or points, or of several the first of those
// that are called x_train, train_images, images, x, data, arr_0 or the like. DATA where none is, or it is not clear.
duel_status duel_choose_arrays(duel_found *f);
// The labels of an array among f->files: y_train beside x_train, labels beside images; as many whole numbers.
duel_status duel_find_array_labels(duel_found *f, const duel_located *items);

#endif
