"""Published protocols: named rules of evaluation, and one encoder under each."""
