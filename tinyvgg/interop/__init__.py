"""Our models inside other attack libraries (foolbox, ART); optional imports."""
