"""The local AutoML engine: trains, evaluates and serves tabular models, in processes of its own.

What local Vertex runs where Vertex AI runs AutoML. `program.zip` (see `packing`) holds this package; it needs
numpy and LightGBM, for training scikit-learn and Optuna as well, and nothing of trainwright. Serving needs no
pickle: a model is a JSON file and LightGBM's text files.
"""
