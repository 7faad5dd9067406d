#include "data_test.h"
