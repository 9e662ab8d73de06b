mod term;
