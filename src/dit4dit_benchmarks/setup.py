from setuptools import find_packages, setup

package_name = 'dit4dit_benchmarks'

setup(
    name=package_name,
    version='0.2.0',
    packages=find_packages(exclude=['test']),
    package_data={package_name: ['py.typed']},
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/' + package_name]),
        ('share/' + package_name, ['package.xml']),
    ],
    install_requires=[
        'dit4dit_policy',
        'g1_data',
        'g1_description',
        'msgpack',
        'numpy',
        'rich',
        'setuptools',
    ],
    extras_require={'test': ['pytest']},
    zip_safe=False,
    maintainer='DiT4DiT deployment suite team',
    maintainer_email='maintainers@example.com',
    description='Published benchmarks as environments in which policies are evaluated.',
    license='Apache-2.0',
    entry_points={
        'dit4dit.environments': [
            'gr1 = dit4dit_benchmarks.robocasa_gr1.environment:make',
            'libero = dit4dit_benchmarks.libero.environment:make',
        ],
    },
)
