#include "isa/layout.h"
