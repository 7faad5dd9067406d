#include "isa/layout_calc.h"
