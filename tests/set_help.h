// For tests of data sets: opening those of the scratch folder, and what was told meanwhile.
#ifndef SET_HELP_H
#define SET_HELP_H

#include "io/data/dataset.h"

extern char set_notes[8192]; // of the last opening, a line each

// The file or folder `name` of the scratch folder; the options but for note, which fills set_notes.
duel_status set_try(duel_dataset **d, const char *name, duel_dataset_options o);
duel_dataset *set_open(const char *name, duel_dataset_options o); // fails the test if it cannot
void set_refused(const char *name, const char *part);             // DATA, and part in the message

#endif
